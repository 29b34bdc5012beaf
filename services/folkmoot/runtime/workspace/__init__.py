"""An isolated folder with a repository in it, where commands run. `port` says what; `client` speaks to a runner."""

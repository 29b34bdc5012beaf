"""What `moot demo` shows: a small real repository with a real bug, and the story that reports it. No processes."""

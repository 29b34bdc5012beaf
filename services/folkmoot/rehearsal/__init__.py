"""An OpenAI-compatible server that plays agents from a script."""

"""Workspaces on this machine, in bubblewrap."""

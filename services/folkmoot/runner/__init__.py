"""Workspaces and repository mirrors: opens, watches, closes; guards the border."""

"""Workspaces as Kubernetes Jobs."""

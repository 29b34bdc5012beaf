"""Coding agents: the loop, its model clients, roles, and the Ray actors that host many of them."""

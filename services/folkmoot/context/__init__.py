"""The graph: a projection of the logs, dropped and rebuilt at will."""

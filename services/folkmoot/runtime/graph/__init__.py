"""Graph stores: a port, SQLite as the embedded default, and a fake. What they hold is a projection of the log."""

"""`moot export`, `import`, `forget`, `backup` and `restore`: a person's side of kept data."""

"""`moot policy`: the numbers that decisions are made by."""

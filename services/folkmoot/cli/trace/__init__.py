"""`moot trace`: where the time of a deliberation went."""

"""`moot versions`: what agents changed step by step, and any file as it was."""

"""`moot evidence`: what the platform observed, and the decision made again from it."""

"""`moot council`, `moot agent`, `moot parked` and `moot status`: an operator's side of the platform."""

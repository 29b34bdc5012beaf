"""`moot story`, `moot plan` and `moot log`: a product owner's side of the platform."""

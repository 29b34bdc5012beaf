"""One list of attacks for every backend of workspaces; `python -m tests.security.abuse` prints what came of them."""

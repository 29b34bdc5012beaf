"""What a repository's tests need besides its files: made once by base's own set-up, then read-only for everybody.

`config` and `wanted` are pure. `making` runs one set-up in a sandbox whose only way out is `proxy`; `store` keeps what
came of it. Nothing here reads what a set-up left but to count, move and remove it.
"""

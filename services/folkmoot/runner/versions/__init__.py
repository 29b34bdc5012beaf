"""Versions of files: each step of an agent that changed something is a commit on a shadow history beside its workspace.

`shadow` is that history's repository and the commands over it, `steps` makes them in the order of the agent's steps,
`archive` takes them in through the border and keeps them, `history` reads what git says of them.
"""

"""What the platform says of itself while it works: the trace that work belongs to, spans, and metrics.

`context` is always on and costs a variable; `spans` and `meters` do nothing unless the settings ask for them. Ids and
numbers only: no text of a person, an agent or a repository, and no secret.
"""

"""Analysis tasks, which end in a document and not in a commit: its schema, its claims, and how documents are ranked.

Pure. `document` knows nothing of deliberations, so that facts may hold what it defines; `protocol` folds them.
"""

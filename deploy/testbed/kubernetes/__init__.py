"""A real Kubernetes of one node on a developer's machine, for tests: no engine, no registry.

The node lives in namespaces of its own, and everything in them ends with their first process. README.md says how to use
it, docs/kubernetes-testbed.md what it can and cannot do.
"""

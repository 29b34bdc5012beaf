"""Images, made from what this machine's own distribution offers; no engine, no registry."""

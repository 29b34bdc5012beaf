"""Programs of ours inside a workspace's pod, run as `python3 -I -S -c SOURCE`: they import nothing of ours, and what
they need besides Python's own library is Linux."""

"""The embedded platform: one process tree of real parts, started, watched and stopped."""

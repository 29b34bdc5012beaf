"""Kept data: export, import, forgetting, retention, backup and restore, as `docs/data.md` promises them.

All of it works as the admin user of the bus, or not at all; no service imports it."""

"""Who asks, for the record."""

import getpass


def person() -> str:
    """The user's name; a container may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"

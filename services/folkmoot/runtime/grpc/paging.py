"""Lists in pages, the newest first: how many a page has, and where the next one begins."""

from folkmoot.kernel.errors import InvalidInput

PAGE = 50
MAX_PAGE = 200
_DIGITS = 20
"""Of a sequence, which has 64 bits."""


def size(asked: int) -> int:
    """0 is 50; at most 200."""
    return min(asked or PAGE, MAX_PAGE)


def before(token: str) -> int | None:
    """The sequence that the page ends before; None for the first page. Raises InvalidInput."""
    if not token:
        return None
    if len(token) > _DIGITS or not (token.isascii() and token.isdecimal()):
        raise InvalidInput("page_token", "is none that we gave out")
    return int(token)

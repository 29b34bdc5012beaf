"""How packs are counted, without asking a tokenizer: every model has another one, and none may say less than this."""

_WORDS = bytes(range(ord("A"), ord("Z") + 1)) + bytes(range(ord("a"), ord("z") + 1)) + b" "
WORD_BYTES = 3
"""Bytes of letters and spaces that count as one token; tokenizers in use put four and more into one."""


def count(text: str) -> int:
    """Tokens of `text`: three letters or spaces are one, any other byte of UTF-8 is one of its own.

    The count of a whole is never more than the sum of its parts' counts.
    """
    body = text.encode("utf-8", "replace")
    others = len(body.translate(None, _WORDS))
    return -((others - len(body)) // WORD_BYTES) + others

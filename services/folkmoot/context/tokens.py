"""How packs are counted, without asking a tokenizer: every model has another one, and a pack must fit them all."""

_WORDS = bytes(range(ord("a"), ord("z") + 1)) + b" "
WORD_BYTES = 3
"""Small letters and spaces that count as one token; tokenizers in use put four and more of a text's into one."""


def count(text: str) -> int:
    """Tokens of `text`: three small letters or spaces are one, any other byte of UTF-8 is one of its own.

    The count of a whole is never more than the sum of its parts' counts. docs/context.md says how it compares.
    """
    body = text.encode("utf-8", "replace")
    others = len(body.translate(None, _WORDS))
    return -((others - len(body)) // WORD_BYTES) + others

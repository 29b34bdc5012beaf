"""What a workspace has besides its files, in one word, as a manifest and a kind of warm workspaces hold it. Pure."""

import msgspec

_SLACK = 1.05
_MORE_BYTES = 16 * 1024**2
_BLOCK = 16 * 1024**2


class Surroundings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    image: str = ""
    """By digest; empty: the installation's own."""
    key: str = ""
    """Of the environment that a set-up made; empty: none."""
    digest: str = ""
    """Of what it made, packed: the same key may have been made twice."""
    bytes: int = 0
    """Of it on disk."""
    path: str = ""
    """PATH of the image."""
    venv: bool = False
    """It has a Python environment."""

    @property
    def word(self) -> str:
        return msgspec.json.encode(self).decode() if self.key else self.image

    @property
    def volume_bytes(self) -> int:
        """That hold it, wherever its files lie on the disk."""
        wanted = int(self.bytes * _SLACK) + _MORE_BYTES
        return -(-wanted // _BLOCK) * _BLOCK


def read(word: str) -> Surroundings:
    """From `Surroundings.word`."""
    if word.startswith("{"):
        return msgspec.json.decode(word, type=Surroundings)
    return Surroundings(image=word)

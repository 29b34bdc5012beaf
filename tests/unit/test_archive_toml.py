"""A backup holds the settings, and none of the secrets in them."""

import tomllib

import pytest

from folkmoot.kernel.errors import InvalidInput
from folkmoot.platform.archive.toml import without_secrets

TEXT = """
# mine
[model]
url = "http://127.0.0.1:8000/v1"
api_key = "sk-secret"
temperature = 0.5
stream = false
name = 'a "quoted" \\name, ünïcode \U0001f333'

[grpc]
token = "also-secret"

[runner]
commits = 7
"""


def test_settings_lose_their_secrets_and_nothing_else() -> None:
    """Values of every kind come back as they were."""
    wanted = tomllib.loads(TEXT)
    del wanted["model"]["api_key"]
    del wanted["grpc"]["token"]
    written = without_secrets(TEXT)
    assert tomllib.loads(written) == wanted
    assert "secret" not in written


def test_what_is_no_settings_file_is_refused() -> None:
    """By name: a backup that leaves settings out unasked would surprise whoever restores it."""
    for text in ("[model", "model = 3", "[model]\nurl = [1]"):
        with pytest.raises(InvalidInput, match=r"folkmoot\.toml"):
            without_secrets(text)

"""The settings file without its secrets: it is read, and what is left is written anew. Pure."""

import json
import tomllib

from folkmoot.kernel.errors import InvalidInput

SECRETS = frozenset({("model", "api_key"), ("grpc", "token"), ("log", "password"), ("agents", "log_password")})


def without_secrets(text: str) -> str:
    """Groups of plain values, as the settings are. Raises InvalidInput for what is no such file."""
    try:
        groups = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput("folkmoot.toml", str(error)) from error
    return "\n".join(_group(name, values) for name, values in groups.items())


def _group(name: str, values: object) -> str:
    if not isinstance(values, dict):
        raise InvalidInput(f"folkmoot.toml: {name}", "is no group of settings")
    kept = {field: value for field, value in values.items() if (name, field) not in SECRETS}
    return "".join([f"[{name}]\n", *(f"{field} = {_value(value)}\n" for field, value in kept.items())])


def _value(value: object) -> str:
    """A string, number or truth value in JSON is the same in TOML, but for one character."""
    if not isinstance(value, (str, int, float)):
        raise InvalidInput("folkmoot.toml", f"{value!r} is no plain value")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

"""A conversation with a model, as values. No I/O here."""

from typing import Any

import msgspec

Message = dict[str, Any]
"""As the chat API wants it."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call as the model wrote it: nothing in it can be trusted."""

    id: str
    name: str
    arguments: str


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    prompt: int = 0
    completion: int = 0
    cached: int = 0


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a model."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    cut_off: bool = False
    """The server says that it stopped at the length limit."""
    problem: str = ""
    """Why nothing in it can be read; then text and calls are empty."""
    tokens: Tokens = Tokens()


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer must look like."""

    name: str
    schema: dict[str, Any]
    """JSON schema; the server holds the model to it where it can."""


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    user: str
    """`<task_id>/<agent_id>`."""
    phase: str
    form: Form | None = None
    """None: free text and tool calls."""
    temperature: float | None = None
    """None: as configured."""

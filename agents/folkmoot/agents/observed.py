"""Calls of models and tools as spans and counts. Names and numbers only: never what was asked or answered."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from folkmoot.agents.assignment import ModelEndpoint
from folkmoot.agents.chat import Reply
from folkmoot.agents.errors import ModelError
from folkmoot.runtime.settings import ModelSettings
from folkmoot.runtime.telemetry import meters
from folkmoot.runtime.telemetry.ambient import count, span, timed


class ModelCall:
    """What came of it, as the block finds out."""

    reply: Reply | None = None


class ToolCall:
    ok = False


@contextmanager
def observed_model(endpoint: ModelEndpoint, configured: ModelSettings) -> Iterator[ModelCall]:
    """`cancelled` is what a limit, and who calls a task off, make of it."""
    label, call = _label(endpoint.url, configured.url), ModelCall()
    outcome = "cancelled"
    with span("model call") as opened, timed(meters.MODEL_TIME, label):
        try:
            yield call
            outcome = "ok" if call.reply is not None and not call.reply.problem else "unusable"
        except ModelError:
            outcome = "error"
            raise
        finally:
            opened.note(outcome=outcome)
            count(meters.MODEL_CALLS, label, outcome)
            _tokens(call.reply, label)


def _tokens(reply: Reply | None, label: str) -> None:
    if reply is not None:
        count(meters.MODEL_TOKENS, label, "prompt", by=reply.tokens.prompt)
        count(meters.MODEL_TOKENS, label, "cached", by=reply.tokens.cached)
        count(meters.MODEL_TOKENS, label, "completion", by=reply.tokens.completion)


@contextmanager
def observed_tool(name: str) -> Iterator[ToolCall]:
    call = ToolCall()
    with span("tool call", tool=name) as opened, timed(meters.TOOL_TIME, name):
        try:
            yield call
        finally:
            outcome = "ok" if call.ok else "failed"
            opened.note(outcome=outcome)
            count(meters.TOOL_CALLS, name, outcome)


def _label(url: str, configured: str) -> str:
    """`configured`, or host and port of somebody's own; the rest of a URL may hold a secret."""
    if url and url == configured:
        return "configured"
    try:
        parsed = httpx.URL(url)
        host, port = parsed.host, parsed.port
    except (httpx.InvalidURL, ValueError):  # a host that idna does not take is the latter
        return "invalid"
    return f"{host}:{port}" if port else host

"""Asking a model for one value under a JSON schema: read with suspicion, corrected a few times, then given up."""

import re
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from folkmoot.agents.assignment import ModelEndpoint
from folkmoot.agents.chat import Form, Message, ModelRequest, Reply, Tokens
from folkmoot.agents.errors import ModelError
from folkmoot.kernel.errors import FolkmootError, InvalidInput
from folkmoot.kernel.result import Usage

T = TypeVar("T")

SHOWN_CHARS = 20_000
"""Of an unusable answer, when it is given back with its correction."""
_FENCED = re.compile(r"\A```[a-z]*\n(.*)\n```\Z", re.DOTALL)


class Model(Protocol):
    async def complete(self, endpoint: ModelEndpoint, request: ModelRequest) -> Reply:
        """Raises ModelError."""
        ...


class Unusable(FolkmootError):
    """None of the model's answers was what was asked for; the message says what was wrong with the last, `usage` what
    they cost."""

    def __init__(self, problem: str, usage: Usage) -> None:
        super().__init__(problem)
        self.problem = problem
        self.usage = usage

    def __reduce__(self) -> tuple[type["Unusable"], tuple[str, Usage]]:
        return type(self), (self.problem, self.usage)


class Question(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What is asked, and of whom the model is to think that it comes."""

    name: str
    """Of the schema."""
    phase: str
    user: str
    """`<story_id>/<who>`."""
    messages: tuple[Message, ...]
    form: Any
    """The msgspec type that the answer is read as; without defaults, so that the schema asks for every field."""
    accept: Callable[[Any], T]
    """From the form to the value; raises InvalidInput with what is wrong."""


class Answer(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    value: T
    repairs: int
    """Answers that could not be used before this one."""
    usage: Usage
    """Of all answers."""


async def ask(model: Model, endpoint: ModelEndpoint, question: Question[T], *, repairs: int) -> Answer[T]:
    """Raises Unusable after `repairs` corrections, and when the model goes away between them; ModelError when it cannot
    be used at all."""
    form = Form(name=question.name, schema=strict_schema_of(question.form))
    messages = question.messages
    problem, usage = "", Usage()
    for attempt in range(repairs + 1):
        request = ModelRequest(messages=messages, user=question.user, phase=question.phase, form=form)
        try:
            reply = await model.complete(endpoint, request)
        except ModelError as error:
            if not attempt:
                raise
            raise Unusable(f"{error}; of the last answer: {problem}", usage) from error
        usage = usage.plus(_spent(reply.tokens))
        try:
            return Answer(value=_read(reply, question), repairs=attempt, usage=usage)
        except InvalidInput as error:
            problem = str(error)
            messages = (*messages, *_correction(reply, problem))
    raise Unusable(f"the model gave no usable {question.name} in {repairs + 1} answers; of the last: {problem}", usage)


def _spent(tokens: Tokens) -> Usage:
    return Usage(
        model_calls=1,
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
        cached_tokens=tokens.cached,
    )


def schema_of(form: Any) -> dict[str, Any]:
    """With the form itself at the root: some servers take no reference there."""
    (root,), parts = msgspec.json.schema_components([form], ref_template="#/$defs/{name}")
    own: dict[str, Any] = parts.pop(root["$ref"].rpartition("/")[2])
    return own | {"$defs": parts} if parts else own


def strict_schema_of(form: Any) -> dict[str, Any]:
    """It asks for every field of the form, as strict servers want it, also for those that may be absent from an answer
    all the same."""
    schema = schema_of(form)
    fields = {name: {k: v for k, v in of.items() if k != "default"} for name, of in schema["properties"].items()}
    return schema | {"properties": fields, "required": list(fields)}


def _read(reply: Reply, question: Question[T]) -> T:
    """Raises InvalidInput with what is wrong, in words for the model."""
    if reply.problem:
        raise InvalidInput("answer", reply.problem)
    if reply.cut_off:
        raise InvalidInput("answer", "was cut off at the length limit: say less")
    text = reply.text.strip()
    if not text:
        raise InvalidInput("answer", "is empty")
    if fenced := _FENCED.match(text):
        text = fenced[1]
    try:
        value = msgspec.json.decode(text, type=question.form)
    except msgspec.ValidationError as error:
        raise _at_its_place(question.name, error) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidInput("answer", f"is no JSON: {error}") from error
    return question.accept(value)


def _at_its_place(name: str, error: msgspec.ValidationError) -> InvalidInput:
    """`Expected … - at `$.tasks[0]`` with the place in front."""
    problem, _, place = str(error).partition(" - at `$")
    return InvalidInput(name + place.rstrip("`"), problem)


def _correction(reply: Reply, problem: str) -> tuple[Message, Message]:
    said = reply.text[:SHOWN_CHARS].encode("utf-8", "replace").decode() or "(nothing that could be read)"
    words = f"That cannot be used. {problem}\nAnswer again, whole: one JSON object under the schema, and nothing else."
    return {"role": "assistant", "content": said}, {"role": "user", "content": words}

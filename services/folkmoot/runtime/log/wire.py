"""One connection to NATS: requests that notice a lost connection at once and are repeated until their time is up.

The only module that knows nats-py. It uses its core connection, none of its JetStream client: that one waits out a
request's time-out over a restart, creates a consumer for each object read, and hangs on a missing piece.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from folkmoot.kernel.errors import FolkmootError, Misconfigured, PermissionDenied, Unavailable
from folkmoot.runtime.log.topology import user
from folkmoot.runtime.settings import LogSettings

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPT_S = 2.0
"""Of one request; then it is repeated, since a reply may have been lost with nothing said."""
_PAUSE_S = 0.05
"""Between two attempts while the server comes up."""
_NO_RESPONDERS = 503
_FENCE = frozenset({10071, 10164})
_TEMPORARY = frozenset({10158, 10163})
_NOT_FOUND = 404


class Lost(Unavailable):
    """The connection broke, or nobody answered: whether the request was carried out is unknown."""


class Silent(Lost):
    """Connected, yet nobody answered."""


class Refused(Exception):
    """JetStream's own answer that it will not."""

    def __init__(self, about: str, code: int, err_code: int | None, description: str) -> None:
        super().__init__(f"{about}: {description} ({code}, {err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description

    @property
    def fence(self) -> bool:
        """Somebody else appended first. The error code may be missing."""
        return self.err_code in _FENCE or (self.err_code is None and "wrong last sequence" in self.description)

    @property
    def temporary(self) -> bool:
        return self.err_code in _TEMPORARY or self.code == _NO_RESPONDERS

    @property
    def not_found(self) -> bool:
        return self.code == _NOT_FOUND


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    duplicate: bool = False


class Inbox:
    """Where answers arrive: messages, or the failure that ends the waiting."""

    def __init__(self, subject: str, about: str) -> None:
        self.subject = subject
        self.about = about
        """The subject that was asked, for messages and refusals."""
        self._items: asyncio.Queue[Msg | FolkmootError] = asyncio.Queue()
        self.failed = False
        """Whether the waiting was ended, perhaps while nobody waited."""

    async def take(self, msg: Msg) -> None:
        self._items.put_nowait(msg)

    def fail(self, error: FolkmootError) -> None:
        self.failed = True
        self._items.put_nowait(error)

    def leftovers(self) -> list[Msg]:
        left = []
        while not self._items.empty():
            item = self._items.get_nowait()
            if isinstance(item, Msg):
                left.append(item)
        return left

    async def next(self, timeout_s: float) -> Msg:
        """Raises Lost, also after `timeout_s` of silence, or PermissionDenied."""
        try:
            async with asyncio.timeout(timeout_s):
                item = await self._items.get()
        except TimeoutError:
            raise Silent(f"{self.about}: no answer within {timeout_s:g} s") from None
        if isinstance(item, FolkmootError):
            raise item
        return item


class Wire:
    """A connection that comes back. Built by `dial`."""

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings
        self._nc = Client()
        self._prefix = f"{user(settings.user).inbox}.{secrets.token_hex(8)}"
        self._attempt_s = min(_ATTEMPT_S, settings.timeout_s / 3)
        self._inboxes: dict[str, Inbox] = {}
        self._counter = 0
        self._up = asyncio.Event()
        self._connected = False
        """Has been, once."""
        self._ended: FolkmootError | None = None

    # --- connection -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Raises Unavailable when the server does not answer in time, Misconfigured when it refuses us."""
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                await self._nc.connect(
                    self.settings.url,
                    user=self.settings.user,
                    password=self.settings.password,
                    name=self.settings.user,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.1,  # type: ignore[arg-type] # seconds; it only sleeps them
                    pending_size=0,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_reconnect,
                    closed_cb=self._on_closed,
                )
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise Unavailable(f"no NATS server at {self.settings.url}: {error or 'no answer'}") from error
        self._connected = True
        self._up.set()
        await self._nc.subscribe(f"{self._prefix}.*", cb=self._route)

    async def close(self) -> None:
        """Sends what is under way, then hangs up."""
        if self._nc.is_connected:
            # It may break meanwhile: then there is nothing left to send it to.
            with suppress(nats.errors.Error):
                await self._nc.flush(timeout=1)
        await self._nc.close()

    async def up(self) -> None:
        """Wait until connected, for ever. Raises Misconfigured when the connection cannot come back."""
        if self._ended is not None:
            raise self._ended
        if not self._nc.is_connected:
            self._up.clear()
            await self._up.wait()
        if self._ended is not None:
            raise self._ended

    async def pause(self) -> None:
        """Between two attempts: wait a little, then until connected."""
        await asyncio.sleep(_PAUSE_S)
        await self.up()

    async def _route(self, msg: Msg) -> None:
        if inbox := self._inboxes.get(msg.subject):
            await inbox.take(msg)

    async def _on_error(self, error: Exception) -> None:
        text = str(error).lower()
        if "authorization violation" in text or isinstance(error, nats.errors.AuthorizationError):
            self._refused()
        if "permissions violation" in text:
            self._deny(text)

    def _refused(self) -> None:
        self._ended = Misconfigured(f"NATS refuses the user {self.settings.user!r} or its password")
        if not self._connected:
            raise self._ended  # ends the first connect, which would try again for ever
        self._up.set()

    def _deny(self, text: str) -> None:
        """Only publishes are refused in our own words; the server quotes the subject."""
        for inbox in [i for i in self._inboxes.values() if f'"{i.about}"'.lower() in text]:
            inbox.fail(PermissionDenied(f"{self.settings.user} may not publish to {inbox.about}"))

    async def _on_disconnect(self) -> None:
        for inbox in list(self._inboxes.values()):
            inbox.fail(Lost(f"{inbox.about}: the connection to NATS broke"))

    async def _on_reconnect(self) -> None:
        self._up.set()

    async def _on_closed(self) -> None:
        self._ended = self._ended or Unavailable("the connection to NATS is closed")
        self._up.set()
        await self._on_disconnect()

    # --- asking -----------------------------------------------------------------------------------------------

    @contextmanager
    def replies(self, about: str) -> Iterator[Inbox]:
        """A cheap inbox for answers: one of many under our one subscription."""
        self._counter += 1
        inbox = Inbox(f"{self._prefix}.{self._counter}", about)
        self._inboxes[inbox.subject] = inbox
        try:
            yield inbox
        finally:
            del self._inboxes[inbox.subject]

    @asynccontextmanager
    async def inbox(self, about: str) -> AsyncIterator[Inbox]:
        """An inbox with a subscription of its own: the server sees when nobody listens there any more."""
        self._counter += 1
        inbox = Inbox(f"{self._prefix}.own.{self._counter}", about)
        if self._nc.is_closed:
            raise self._ended or Unavailable("the connection to NATS is closed")
        subscription = await self._nc.subscribe(inbox.subject, cb=inbox.take)
        self._inboxes[inbox.subject] = inbox
        try:
            yield inbox
        finally:
            del self._inboxes[inbox.subject]
            if not self._nc.is_closed:
                await subscription.unsubscribe()

    async def publish(
        self, subject: str, body: bytes = b"", *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Never buffered while disconnected. Raises Lost."""
        try:
            await self._nc.publish(subject, body, reply=reply, headers=headers)
        except (nats.errors.OutboundBufferLimitError, nats.errors.ConnectionClosedError, OSError) as error:
            raise Lost(f"{subject}: not connected to NATS") from error

    async def call(self, subject: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Msg:
        """Ask until there is an answer; what is asked must bear repetition.

        Raises Unavailable after the settings' time-out (Silent when the server is there but does not answer),
        PermissionDenied.
        """
        return (await self._repeat(subject, self._ask_once, subject, body, headers))[0]

    async def batch(self, subject: str, body: bytes) -> list[Msg]:
        """All messages of a batch answer, without its end mark; empty when there are none. Raises as `call`, and
        Refused."""
        return await self._repeat(subject, self._batch_once, subject, body)

    async def api(self, subject: str, request: Mapping[str, object]) -> dict[str, Any]:
        """Raises Refused, Unavailable, PermissionDenied."""
        return await self._answer(subject, json.dumps(request).encode(), None)

    async def store(self, subject: str, body: bytes, headers: dict[str, str]) -> Ack:
        """Publish into a stream. Raises Refused, Unavailable, PermissionDenied."""
        answer = await self._answer(subject, body, headers)
        return Ack(seq=answer["seq"], duplicate=answer.get("duplicate", False))

    async def _answer(self, subject: str, body: bytes, headers: dict[str, str] | None) -> dict[str, Any]:
        return await self._repeat(subject, self._answer_once, subject, body, headers)

    async def _answer_once(self, subject: str, body: bytes, headers: dict[str, str] | None) -> dict[str, Any]:
        [msg] = await self._ask_once(subject, body, headers)
        answer: dict[str, Any] = json.loads(msg.data)
        if error := answer.get("error"):
            raise Refused(subject, error.get("code", 0), error.get("err_code"), error.get("description", ""))
        return answer

    async def _ask_once(self, subject: str, body: bytes, headers: dict[str, str] | None) -> list[Msg]:
        with self.replies(subject) as inbox:
            await self.publish(subject, body, reply=inbox.subject, headers=headers)
            msg = await inbox.next(self._attempt_s)
            if status(msg) == _NO_RESPONDERS:
                raise Lost(f"{subject}: no stream takes this, or JetStream is not up yet")
            return [msg]

    async def _batch_once(self, subject: str, body: bytes) -> list[Msg]:
        messages: list[Msg] = []
        with self.replies(subject) as inbox:
            await self.publish(subject, body, reply=inbox.subject)
            while True:
                msg = await inbox.next(self._attempt_s)
                match status(msg):
                    case 0:
                        messages.append(msg)
                    case 204 | 404:
                        return messages
                    case 503:
                        raise Lost(f"{subject}: JetStream is not up yet")
                    case code:
                        raise Refused(subject, code, None, (msg.headers or {}).get("Description", ""))

    async def _repeat(self, subject: str, once: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        problem: Exception | None = None
        try:
            async with asyncio.timeout(self.settings.timeout_s) as limit:
                await self.up()
                while True:
                    try:
                        return await once(*args, **kwargs)
                    except Lost as error:
                        problem = error
                    except Refused as error:
                        if not error.temporary:
                            raise
                        problem = error
                    await self.pause()
        except TimeoutError:
            if not limit.expired():
                raise
            kind = Silent if isinstance(problem, Silent) else Unavailable
            raise kind(str(problem or f"{subject}: not connected to NATS")) from problem


@asynccontextmanager
async def dial(settings: LogSettings) -> AsyncIterator[Wire]:
    """Raises Unavailable, Misconfigured."""
    wire = Wire(settings)
    try:
        await wire.open()
        yield wire
    finally:
        await wire.close()


def status(msg: Msg) -> int:
    """The status that stands in a control message's header; 0 for a real message."""
    text = (msg.headers or {}).get("Status", "")
    return int(text) if text.isdigit() else 0

"""Versions where nobody sees the files from outside, as in a pod: each command of an agent's is followed, in the same
run, by a look at what it left, and what the look tells becomes the step's version.

What the agent's own processes could tell is not asked for: the look is its watcher's, when they are all gone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from folkmoot.kernel.errors import FolkmootError, Unavailable
from folkmoot.runner.command import Command, Ended, Run, Sink
from folkmoot.runner.jobs import Jobs, Turns
from folkmoot.runner.versions import names, shadow
from folkmoot.runner.versions.ledger import Ledger, State
from folkmoot.runner.versions.names import Draft
from folkmoot.runner.versions.seen import BESIDE_BYTES, FURTHER_BYTES, NOTHING_CHANGED, Ask, Seen, read

log = logging.getLogger(__name__)

Looked = Callable[[Command, Sink, Ask], Awaitable[tuple[Ended, bytes]]]
"""As `Run`, with what a look behind the command told; empty where there was none."""
_FUTILE = 3
"""So many looks in a row that find too much are enough."""
_BESIDE_NS = 10 * 10**9
"""More than that, and the pod's clock was set back."""
_TAKEN = 4
"""Times the bytes of a bundle: as much content is taken in all. It is packed later."""


class Looks:
    def __init__(
        self, ledger: Ledger, looked: Looked, jobs: Jobs, turns: Turns, group: asyncio.TaskGroup, *, limit: int
    ) -> None:
        """`limit` is bytes of the bundle of all steps."""
        self.ledger = ledger
        self._looked = looked
        self._jobs = jobs
        self._turns = turns
        self._group = group
        self._most = _TAKEN * limit
        self._last: asyncio.Task[None] | None = None
        self._since, self._digest = NOTHING_CHANGED, bytes(16)
        self._came: list[tuple[Ask, bytes]] = []
        self._unseen = False
        """A command ran, and no look told what it did."""
        self._under_way = 0
        """Commands whose look is still to come."""
        self._futile = 0

    # --- beginning

    def begin(self) -> None:
        """Right after a check-out that was run by `stepping`."""
        self._queue(partial(self._began, self._come()))

    def resume(self) -> bool:
        """Go on where a predecessor was. False where it left nothing to go on with."""
        state = self.ledger.load()
        if state is None:
            return False
        self._since, self._digest, self._unseen = state.since, state.digest, True
        return True

    async def _began(self, came: list[Seen]) -> None:
        for saw in came[-1:]:
            there, rules = await self.ledger.tree()
            self._save(saw, State(since=0, digest=b"", steps=0, taken=0, names=names.first(there, saw), rules=rules))

    # --- steps

    def stepping(self, plain: Run) -> Run:
        async def run(command: Command, sink: Sink) -> Ended:
            if self._futile >= _FUTILE:
                return await plain(command, sink)
            ask = Ask(since=self._since, digest=self._digest, room=BESIDE_BYTES)
            self._unseen = True
            self._under_way += 1
            try:
                ended, body = await self._looked(command, sink, ask)
            finally:
                self._under_way -= 1
            if body:
                self._came.append((ask, body))
                self._unseen = False
            return ended

        return run

    def note(self, what: str) -> None:
        for saw in self._come():
            self._queue(partial(self._kept, what, saw))

    async def settled(self) -> None:
        if self._last is not None:
            await asyncio.wait([self._last])

    async def exported(self, limit: int) -> bytes:
        await self.settled()
        if self._unseen and not self._under_way and self._digest != bytes(16):
            await self._seen_after_all()
        return await self.ledger.exported(limit)

    async def _seen_after_all(self) -> None:
        """What was done by a command whose look did not come."""
        try:
            await self._run(self.stepping(_nothing))
        except FolkmootError as error:
            log.info("no last version: %s", error, extra={"action": "version"})
        self.note("a command that was cut off")
        await self.settled()

    def _come(self) -> list[Seen]:
        """What came and says something; a look that was asked before another one's answer says it of other names."""
        came, self._came = self._came, []
        found = []
        for ask, body in came:
            try:
                saw = read(body)
            except ValueError as error:
                log.info("no version of a step: %s", error, extra={"action": "version"})
                self._unseen = True
                continue
            self._futile = self._futile + 1 if saw.too_much else 0
            if saw.too_much:
                continue
            if saw.whole or ask.digest == self._digest:
                found.append(saw)
            else:
                self._unseen = True
        return found

    def _queue(self, work: Callable[[], Awaitable[None]]) -> None:
        self._last = self._group.create_task(self._behind(self._last, work), name="version")

    async def _behind(self, before: "asyncio.Task[None] | None", work: Callable[[], Awaitable[None]]) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await work()
        except (FolkmootError, OSError) as error:
            self._unseen = True
            log.info("no version of a step: %s", error, extra={"action": "version"})

    async def _kept(self, what: str, saw: Seen) -> None:
        if self._outrun(saw):
            self._unseen = True
            return
        if not saw.entries and not saw.whole:
            self._since = saw.at
            return
        state = await asyncio.to_thread(self.ledger.load)
        if state is None:
            return
        draft = await asyncio.to_thread(names.drafted, state.names, state.rules, saw, self.ledger.object_of)
        doubted = names.open_to_doubt(draft, state.names, state.rules)
        names.decided(draft, state.names, doubted, await self.ledger.left(doubted, draft.rules))
        names.completed(draft, state.names, await self._further(draft), self.ledger.object_of)
        await self._added(what, saw, state, draft)

    def _outrun(self, saw: Seen) -> bool:
        """By a look of a command that ran beside this one's: what this one saw is told once more."""
        return 0 < self._since - saw.at < _BESIDE_NS or (not saw.whole and saw.digest != self._digest)

    async def _added(self, what: str, saw: Seen, state: State, draft: Draft) -> None:
        changes = names.difference(state.names, draft.names)
        taken = state.taken + sum(len(draft.contents.get(draft.names[path].object, b"")) for path in changes.there)
        if taken > self._most or state.steps >= shadow.MOST:
            self._futile = _FUTILE
            log.warning("no more versions of a workspace: too much came of it", extra={"action": "version"})
            return
        if changes:
            await self.ledger.add(what, changes, draft)
        steps = state.steps + bool(changes)
        self._save(saw, State(since=0, digest=b"", steps=steps, taken=taken, names=draft.names, rules=draft.rules))

    def _save(self, saw: Seen, state: State) -> None:
        self.ledger.save(msgspec.structs.replace(state, since=saw.at, digest=saw.digest))
        self._since, self._digest = saw.at, saw.digest

    # --- further runs

    async def _further(self, draft: Draft) -> Seen | None:
        """With the content that did not come by itself."""
        want = names.wanted(draft)
        if not want:
            return None
        ask = Ask(since=self._since, digest=self._digest, want=want, room=FURTHER_BYTES)
        found = bytearray()

        async def run(command: Command, sink: Sink) -> Ended:
            ended, body = await self._looked(command, sink, ask)
            found.extend(body)
            return ended

        await self._run(run)
        try:
            return read(bytes(found))
        except ValueError:
            return None

    async def _run(self, run: Run) -> None:
        """A command that does nothing, for what is looked at behind it."""
        async for _ in self._jobs.stream(run, Command(argv=("true",)), self._turns):
            pass


async def _nothing(_: Command, __: Sink) -> Ended:
    raise Unavailable("no look is taken any more")

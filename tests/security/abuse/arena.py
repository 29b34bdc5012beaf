"""Where attacks happen: a backend's workspaces, canaries around them, and the tripwire."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.evidence import Admission, Refusal
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.fixtures.workspace import Bench
from tests.security.abuse import together
from tests.security.abuse.attack import Attack, Verdict, judged
from tests.security.abuse.lures import Lures
from tests.security.abuse.spare import Spare

_PATIENCE_S = 200.0
_LEASE_S = 7_200.0
_LOOKS, _LOOK_S = 100, 0.05
"""For processes that are being ended: five seconds."""
_TOGETHER = 16


class Arena:
    """One backend under attack. Attacks share a workspace; those that would spoil it, or use it up, have their own.

    `spares`: where opening takes seconds, these come one after the other into a workspace that is put back between
    them, and scripts are tried several at a time.
    """

    def __init__(self, backend: str, bench: Bench, small: Bench, lures: Lures, *, spares: bool = False) -> None:
        self.backend = backend
        self.bench = bench
        self.nonce = lures.nonce
        self.canaries = lures.canaries
        self.environment = lures.environment
        self._small = small
        self._shared: GrpcWorkspace | None = None
        self._granted: dict[str, pb.OpenWorkspaceResponse] = {}
        self._together = _TOGETHER if spares else 1
        self._spares = {each: Spare(partial(self.fresh, small=each)) for each in (False, True) if spares}
        # In a cluster the runner's own files lie apart from workspaces, and change when one is opened.
        ours = (bench.places.parent,) if spares else ()
        self.wire = lures.wire((bench.repo.folder, *ours))

    # --- workspaces

    async def workspace(self) -> GrpcWorkspace:
        """The shared one."""
        if self._shared is None:
            self._shared = await self.fresh()
        return self._shared

    async def fresh(self, *, small: bool = False) -> GrpcWorkspace:
        bench = self._small if small else self.bench
        opened = await bench.opened(ttl_s=_LEASE_S)
        if not small:  # names are the same in both
            self._granted[opened.workspace_id] = opened
        return bench.holding(opened)

    @contextlib.asynccontextmanager
    async def lent(self, *, small: bool = False) -> AsyncIterator[GrpcWorkspace]:
        """As if it were fresh, to one attack alone."""
        if spare := self._spares.get(small):
            async with spare.lent() as workspace:
                yield workspace
            return
        workspace = await self.fresh(small=small)
        yield workspace
        await workspace.close()

    async def pair(self) -> tuple[pb.OpenWorkspaceResponse, pb.OpenWorkspaceResponse]:
        """Two that work, each with its token."""
        spare = self._spares.get(False)
        both = await self.workspace(), await (spare.there() if spare else self.fresh())
        return self._granted[both[0].id], self._granted[both[1].id]

    # --- attempts

    async def tried(self, attacks: Sequence[Attack]) -> list[Verdict]:
        """In the same order."""
        found = {id(attack): _meaningless(attack, self.backend) for attack in attacks}
        alike = [a for a in attacks if not (found[id(a)] or a.small or a.alone or a.act)]
        if self._together > 1:
            for start in range(0, len(alike), self._together):
                part = alike[start : start + self._together]
                found |= {id(a): verdict for a, verdict in zip(part, await self._at_once(part), strict=True)}
        return [found[id(attack)] or await self.alone(attack) for attack in attacks]

    async def alone(self, attack: Attack) -> Verdict:
        """The attempt, and whether anything outside has changed by it."""
        if meaningless := _meaningless(attack, self.backend):
            return meaningless
        self.wire.set()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                verdict = await self._tried(attack)
        except (FolkmootError, TimeoutError) as error:
            verdict = Verdict(refused=False, seen=f"not refused as expected: {error!r}")
        if changed := await self._changed():
            return Verdict(refused=False, seen=f"changed outside: {', '.join(changed)}; {verdict.seen}")
        return verdict

    async def _at_once(self, attacks: Sequence[Attack]) -> list[Verdict | None]:
        """None for those that are to be tried alone: something had changed, or one had ended them all."""
        workspace = await self.workspace()
        self.wire.set()
        verdicts = await together.tried(workspace, attacks, self.environment)
        if verdicts is None or await self._changed():
            return [None] * len(attacks)
        return [verdict if verdict.refused else None for verdict in verdicts]

    async def _changed(self) -> list[str]:
        """A command whose caller went away is ended soon after, not at once."""
        for _ in range(_LOOKS):
            changed = self.wire.tripped()
            if changed != ["processes"]:
                break
            await asyncio.sleep(_LOOK_S)
        return changed

    async def _tried(self, attack: Attack) -> Verdict:
        """A workspace may be lost by what an earlier attack did: a cluster evicts pods that filled their disk later on.
        One that is lost a second time, in a workspace that nobody had, is lost by this one."""
        try:
            return await self._once(attack)
        except WorkspaceLost:
            await self._forsaken()
            return await self._once(attack)

    async def _forsaken(self) -> None:
        """Whoever comes next is the first one in their workspace."""
        for spare in self._spares.values():
            await spare.forsaken()
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.close()

    async def _once(self, attack: Attack) -> Verdict:
        if attack.act is not None:
            through = await attack.act(self)
            return Verdict(refused=not through, seen=through)
        if not attack.small:
            return await self._by(await self.workspace(), attack)
        async with self.lent(small=True) as workspace:
            return await self._by(workspace, attack)

    async def _by(self, workspace: GrpcWorkspace, attack: Attack) -> Verdict:
        environment = {**self.environment, **attack.environment}
        done = await workspace.run(attack.argv, env=environment, timeout_s=attack.timeout_s)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        return judged(attack, ok=done.end.ok, output=f"{said}\nlimit={done.end.limit} signal={done.end.signal}")

    async def admitted(self, bundle: bytes) -> Admission | Refusal:
        """What the border says to a bundle."""
        return await self.bench.mirrors.admit(
            task_id=TaskId("t-1"),
            agent_id=AgentId("agent-1"),
            round_=1,
            base=self.bench.base,
            bundle=bundle,
            message="Mend it",
        )


def _meaningless(attack: Attack, backend: str) -> Verdict | None:
    reason = attack.nowhere.get(backend)
    return Verdict(refused=False, tried=False, seen=reason) if reason else None


async def on(workspace: GrpcWorkspace) -> str:
    """The address by which others would reach what listens in it: that of its interface, or loopback."""
    ask = (
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "try: s.connect(('192.0.2.1', 9)); print(s.getsockname()[0])\nexcept OSError: print('127.0.0.1')"
    )
    return (await workspace.run(["python3", "-c", ask])).stdout.decode().strip()

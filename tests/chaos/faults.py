"""What can go wrong, and a sequence of it drawn from a seed. Pure: the same seed, the same sequence."""

import random
from collections.abc import Iterator
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    KILL = "kill -9"
    PAUSE = "paused"
    FREEZE = "frozen past its lease"
    RESTART = "restarted"
    CUT = "cut off from the log"
    DEAF = "its words to the log held"
    MUTE = "the log's words to it held"
    DROP = "acknowledgements dropped"
    DELAY = "acknowledgements delayed"
    DISK = "disk full"
    CLOCK = "clock jumps"


class Phase(StrEnum):
    """Of some task or story that is under way: where a fault is put."""

    PLANNING = "planning"
    """A model assesses or plans a story, or its first tasks are about to be released."""
    CONVENING = "convening"
    PROPOSING = "proposing"
    EXAMINING = "examining"
    MERGING = "merging"
    """A task that joins others, in any of its own phases."""
    ANY = "any"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    """From 1, in the sequence."""
    kind: Kind
    victim: str
    phase: Phase
    """It waits for something in this phase, at most `PATIENCE_S`."""
    pause_s: float
    """Behind the phase's beginning."""
    seconds: float = 0.0
    """How long it lasts."""
    amount: float = 0.0
    """`clock jumps`: seconds; `acknowledgements dropped`: share of them; `delayed`: seconds each."""
    settles: bool
    """The next one waits until everybody has recovered from this one."""

    def __str__(self) -> str:
        amount = f" by {self.amount:g}" if self.amount else ""
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.victim}: {self.kind}{amount}{lasting}, {self.phase} +{self.pause_s:.2f} s"


SERVICES = ("planning", "orchestrator", "orchestrator-2", "context", "runner")
RAY = ("ray head", "ray gcs", "raylet", "ray worker")
PROCESSES = (*SERVICES, *RAY, "nats", "model", "platform")
USERS = ("planning", "orchestrator", "context", "runner", "agents")
"""Of the log; both orchestrators are one user."""
DISKS = ("log", "workspaces")
CLOCKS = SERVICES
HOLDERS = ("orchestrator", "runner", "ray worker", "ray head", "nats")
LEASE_S = 5.0
"""Of the platform that is played with (`stage.SETTINGS`)."""

VICTIMS: dict[Kind, tuple[str, ...]] = {
    Kind.KILL: PROCESSES,
    Kind.PAUSE: PROCESSES,
    Kind.FREEZE: tuple(p for p in PROCESSES if p != "model"),  # it has no lease: that is a model that hangs
    Kind.RESTART: PROCESSES,
    Kind.CUT: USERS,
    Kind.DEAF: USERS,
    Kind.MUTE: USERS,
    Kind.DROP: USERS,
    Kind.DELAY: USERS,
    Kind.DISK: DISKS,
    Kind.CLOCK: CLOCKS,
}
_LASTS_S: dict[Kind, tuple[float, float]] = {
    Kind.PAUSE: (0.2, 3.0),
    Kind.FREEZE: (LEASE_S + 1, LEASE_S + 4),
    Kind.CUT: (0.0, 4.0),
    Kind.DEAF: (0.5, LEASE_S + 2),
    Kind.MUTE: (0.5, LEASE_S + 2),
    Kind.DROP: (2.0, 6.0),
    Kind.DELAY: (2.0, 6.0),
    Kind.DISK: (1.0, 4.0),
}
_JUMPS_S = (-86_400.0, -3_600.0, -30.0, 30.0, 3_600.0, 86_400.0)


def drawn(seed: str, count: int) -> list[Fault]:
    """`count` faults; each pair of kind and victim comes once before any comes again. A longer sequence of the same
    seed begins with the shorter one."""
    chance = random.Random(seed)
    pairs = _dealt(chance, [(kind, victim) for kind, victims in VICTIMS.items() for victim in victims])
    return [_fault(chance, number, *next(pairs)) for number in range(1, count + 1)]


def short_form(seed: str) -> list[Fault]:
    """Each kind once, both disks, and a kill of each part that holds work."""
    chance = random.Random(seed)
    often = {Kind.KILL: HOLDERS, Kind.DISK: DISKS}
    pairs = [(kind, chance.choice(victims)) for kind, victims in VICTIMS.items() if kind not in often]
    pairs += [(kind, victim) for kind, victims in often.items() for victim in victims]
    chance.shuffle(pairs)
    return [_fault(chance, number, *pair) for number, pair in enumerate(pairs, 1)]


def _dealt(chance: random.Random, deck: list[tuple[Kind, str]]) -> Iterator[tuple[Kind, str]]:
    while True:
        yield from chance.sample(deck, len(deck))


def _fault(chance: random.Random, number: int, kind: Kind, victim: str) -> Fault:
    """Draws equally often whatever the kind is."""
    low, high = _LASTS_S.get(kind, (0.0, 0.0))
    return Fault(
        number=number,
        kind=kind,
        victim=victim,
        phase=chance.choice(list(Phase)),
        pause_s=round(chance.uniform(0.0, 0.8), 2),
        seconds=round(chance.uniform(low, high), 1),
        amount=_amount(chance, kind),
        settles=chance.random() < 0.6,
    )


def _amount(chance: random.Random, kind: Kind) -> float:
    share, wait, jump = round(chance.uniform(0.3, 1.0), 2), round(chance.uniform(0.1, 3.0), 2), chance.choice(_JUMPS_S)
    return {Kind.DROP: share, Kind.DELAY: wait, Kind.CLOCK: jump}.get(kind, 0.0)

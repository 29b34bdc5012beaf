"""Streams, durable readers and users of the bus (design, section 3). Pure data: what there is and who may do what.

Nothing here talks to a server; `nats.ensure_topology` makes it so, `server.server_config` enforces the rights.
"""

import msgspec

from folkmoot.kernel.errors import InvalidInput

_SECOND = 1_000_000_000
"""JetStream's API counts nanoseconds."""

MESSAGE_BYTES = 72 * 1024
"""An event of at most 64 KiB, and its headers."""
PARKED_BYTES = 768 * 1024
"""A parked message holds another one as JSON text, which may be several times longer."""


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    subjects: tuple[str, ...]
    queue: bool = False
    """A work queue: a message goes away when it is acknowledged."""
    max_age_s: int = 0
    """0: kept for ever."""
    message_bytes: int = MESSAGE_BYTES
    dedupe_s: int = 120
    """How long a repeated message id is recognised. Idempotency for longer lives in the event log."""
    sealed: bool = True
    """Nothing can be purged, by nobody."""
    erasable: bool = False
    """The admin user can delete single messages, whose bytes the server overwrites: stories can be forgotten."""

    def config(self) -> dict[str, object]:
        """The part of the stream's configuration that is ours; durations in nanoseconds."""
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "retention": "workqueue" if self.queue else "limits",
            "storage": "file",
            "discard": "new",
            "max_age": self.max_age_s * _SECOND,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_msgs_per_subject": -1,
            "max_msg_size": self.message_bytes,
            "duplicate_window": self.dedupe_s * _SECOND,
            "deny_delete": not (self.erasable or self.queue),
            "deny_purge": self.sealed and not self.queue,
            # A header of the next message could wipe or age what was written before.
            "allow_rollup_hdrs": False,
            "allow_msg_ttl": False,
            "allow_direct": True,
        }


class ReaderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A durable reader: its place is kept by the server, its messages are leased."""

    name: str
    stream: str
    filter: str

    def config(self) -> dict[str, object]:
        """What must not drift. The lease time is a setting and is brought up to date instead.

        `max_deliver` is unlimited: we park ourselves, so that a message that kills its handler is parked too.
        """
        return {
            "durable_name": self.name,
            "filter_subject": self.filter,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "replay_policy": "instant",
            "max_deliver": -1,
        }


AGILE = StreamSpec(name="AGILE", subjects=("agile.events.*",), erasable=True)
REQUESTS = StreamSpec(name="REQUESTS", subjects=("deliberation.requests.*",), queue=True, dedupe_s=600)
DELIBERATIONS = StreamSpec(name="DELIBERATIONS", subjects=("deliberation.events.*", "agent.results.*.*"), erasable=True)
AGENT_REQUESTS = StreamSpec(name="AGENT_REQUESTS", subjects=("agent.requests.*.*",), queue=True, dedupe_s=600)
AGENT_RESPONSES = StreamSpec(name="AGENT_RESPONSES", subjects=("agent.responses.*.*",), max_age_s=86_400)
STEPS = StreamSpec(name="STEPS", subjects=("agent.steps.*.*",), max_age_s=7 * 86_400, erasable=True)
FLEET = StreamSpec(name="FLEET", subjects=("fleet.events.councils", "fleet.events.decisions"))
PARKED = StreamSpec(name="PARKED", subjects=("parked.>",), message_bytes=PARKED_BYTES)

BUCKET = "artifacts"
OBJECTS = StreamSpec(
    name=f"OBJ_{BUCKET}",
    subjects=(f"$O.{BUCKET}.C.>", f"$O.{BUCKET}.M.>"),
    message_bytes=-1,
    sealed=False,
    erasable=True,
)

LOGS = (AGILE, REQUESTS, DELIBERATIONS, AGENT_REQUESTS, AGENT_RESPONSES, STEPS, FLEET, PARKED)
STREAMS = (*LOGS, OBJECTS)

READERS = (
    ReaderSpec(name="orchestrator-requests", stream="REQUESTS", filter="deliberation.requests.*"),
    ReaderSpec(name="orchestrator-stories", stream="AGILE", filter="agile.events.*"),
    ReaderSpec(name="planning-stories", stream="AGILE", filter="agile.events.*"),
    ReaderSpec(name="planning-decisions", stream="DELIBERATIONS", filter="deliberation.events.*"),
    ReaderSpec(name="runner-requests", stream="AGENT_REQUESTS", filter="agent.requests.*.*"),
    # What a person has replayed of a log goes to the service that parked it.
    ReaderSpec(name="orchestrator-replays", stream="PARKED", filter="parked.*"),
    ReaderSpec(name="planning-replays", stream="PARKED", filter="parked.*"),
)


def stream_of(subject: str) -> StreamSpec:
    """The stream that holds `subject`, which may have wildcards. Raises InvalidInput when there is none."""
    for stream in LOGS:
        if any(_covers(pattern, subject) for pattern in stream.subjects):
            return stream
    raise InvalidInput("subject", f"{subject!r} belongs to no stream")


def matches(pattern: str, subject: str) -> bool:
    """Whether the exact `subject` falls under `pattern`, with NATS's `*` and `>`."""
    return _covers(pattern, subject)


def exact(subject: str) -> bool:
    return "*" not in subject and ">" not in subject


def reader(name: str) -> ReaderSpec:
    """Raises InvalidInput when no reader has that name."""
    for spec in READERS:
        if spec.name == name:
            return spec
    raise InvalidInput("reader", f"{name!r} is none of {', '.join(r.name for r in READERS)}")


def parked_subject(stream: str) -> str:
    return f"parked.{stream}"


def _covers(pattern: str, subject: str) -> bool:
    """`subject` may itself have wildcards: then `pattern` must cover all of them, token by token."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(given) >= len(wanted) and _tokens_cover(wanted[:-1], given)
    return len(given) == len(wanted) and given[-1] != ">" and _tokens_cover(wanted, given)


def _tokens_cover(wanted: list[str], given: list[str]) -> bool:
    return all(w == "*" or w == g for w, g in zip(wanted, given, strict=False))


class UserSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A service on the bus, with the least rights that its work needs."""

    name: str
    writes: tuple[str, ...] = ()
    """Subjects it appends or puts."""
    reads: tuple[str, ...] = ()
    """Streams it reads and follows."""
    looks: tuple[str, ...] = ()
    """Streams of which it reads single messages only."""
    follows: tuple[str, ...] = ()
    """Subjects it may follow in a stream that it may not read otherwise."""
    readers: tuple[str, ...] = ()
    """Durable readers it takes deliveries from, and parks for."""
    artifacts: str = ""
    """`r`, `rw` or nothing."""
    admin: bool = False
    """Creates streams, deletes messages, takes and puts back whole streams."""

    @property
    def inbox(self) -> str:
        """Prefix of its private inboxes: nobody else can listen there."""
        return f"_INBOX_{self.name}"

    def publish(self) -> list[str]:
        rights = [*self.writes]
        rights += [right for subject in self.writes for right in _append_rights(subject)]
        rights += [right for stream in self.reads for right in _read_rights(stream)]
        rights += [f"$JS.API.STREAM.MSG.GET.{stream}" for stream in self.looks]
        rights += [right for subject in self.follows for right in _follow_rights(subject)]
        rights += [right for name in self.readers for right in _reader_rights(reader(name))]
        rights += _artifact_rights(self.artifacts)
        if self.admin:
            rights += ["$JS.API.>", "$JS.SNAPSHOT.>"]
        return sorted(set(rights))

    def subscribe(self) -> list[str]:
        return [f"{self.inbox}.>"]


def _append_rights(subject: str) -> list[str]:
    """To tell a retried append from a conflict, its writer looks at what stands behind the fence, and at what lies
    before that."""
    stream = stream_of(subject)
    return [] if stream.queue else [f"$JS.API.{get}.{stream.name}" for get in ("STREAM.MSG.GET", "DIRECT.GET")]


def _read_rights(stream: str) -> list[str]:
    return [
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.STREAM.INFO.{stream}",
        *_consumer_rights(stream, ">"),
    ]


def _follow_rights(subject: str) -> list[str]:
    return _consumer_rights(stream_of(subject).name, f"*.{subject}")


def _consumer_rights(stream: str, rest: str) -> list[str]:
    return [f"$JS.API.CONSUMER.CREATE.{stream}.{rest}", f"$JS.FC.{stream}.>"]


def _reader_rights(spec: ReaderSpec) -> list[str]:
    parked = parked_subject(spec.stream)
    return [
        f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream}.{spec.name}",
        f"$JS.API.CONSUMER.INFO.{spec.stream}.{spec.name}",
        f"$JS.ACK.{spec.stream}.{spec.name}.>",
        parked,
        *_append_rights(parked),
    ]


def _artifact_rights(mode: str) -> list[str]:
    if not mode:
        return []
    rights = [f"$JS.API.DIRECT.GET.{OBJECTS.name}", f"$JS.API.STREAM.MSG.GET.{OBJECTS.name}"]
    return rights + list(OBJECTS.subjects) if mode == "rw" else rights


USERS = (
    UserSpec(
        name="planning",
        writes=("agile.events.*",),
        reads=("AGILE", "FLEET"),
        follows=("deliberation.events.*",),
        readers=("planning-stories", "planning-decisions", "planning-replays"),
        # Of what was examined: which tests a repository has.
        artifacts="r",
    ),
    UserSpec(
        name="orchestrator",
        writes=(
            "deliberation.requests.*",
            "deliberation.events.*",
            "agent.requests.*.*",
            "fleet.events.councils",
            "parked.*",
        ),
        reads=("AGILE", "DELIBERATIONS", "AGENT_RESPONSES", "STEPS", "FLEET", "PARKED"),
        readers=("orchestrator-requests", "orchestrator-stories", "orchestrator-replays"),
        artifacts="rw",
    ),
    UserSpec(
        name="context",
        writes=("fleet.events.decisions",),
        reads=("AGILE", "DELIBERATIONS", "STEPS", "FLEET"),
        artifacts="r",
    ),
    UserSpec(
        name="runner",
        writes=("agent.responses.*.*",),
        looks=("AGENT_REQUESTS",),
        readers=("runner-requests",),
        artifacts="rw",
    ),
    UserSpec(
        name="agents",
        writes=("agent.results.*.*", "agent.steps.*.*"),
        # What the others of a task have used, where they share a limit.
        follows=("agent.steps.*.*",),
        artifacts="rw",
    ),
    UserSpec(
        name="platform",
        # Tombstones, and what an import brings, go through `keeper.py` alone.
        writes=(
            "deliberation.requests.*",
            "agent.requests.*.*",
            "agile.events.*",
            "deliberation.events.*",
            "agent.results.*.*",
        ),
        reads=("PARKED",),
        artifacts="rw",
        admin=True,
    ),
)


def user(name: str) -> UserSpec:
    """Raises InvalidInput when there is no such user."""
    for spec in USERS:
        if spec.name == name:
            return spec
    raise InvalidInput("user", f"{name!r} is none of {', '.join(u.name for u in USERS)}")

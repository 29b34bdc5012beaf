"""What the platform observed itself. Values only; the jury weighs them."""

from enum import StrEnum

import msgspec

from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, RepositoryId


class ArtifactRef(msgspec.Struct, frozen=True, kw_only=True):
    """A body in the artifact store, named by its content."""

    sha256: str
    size: int
    """Bytes."""


class Outcome(StrEnum):
    """Of one test id in one run."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


class CommandEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended, as seen by the process that held its sandbox."""

    exit_code: int | None
    """None when a signal or a limit ended it."""
    signal: int | None = None
    limit: str = ""
    """Which limit ended it: `time`, `output`, `memory`, `disk`; else empty."""
    duration_s: float = 0.0

    @property
    def ok(self) -> bool:
        return self.exit_code == 0


class Runner(StrEnum):
    """How test ids are read from a run."""

    PYTEST = "pytest"
    GO = "go"
    NODE = "node"
    COMMAND = "command"
    """No ids: the exit code is one test, named `exit`."""


class TestSuite(msgspec.Struct, frozen=True, kw_only=True):
    """How base's own tests are run: configured in base's `.moot.toml`, else detected."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    runner: Runner
    command: str
    """A shell line, run at the repository's root. `{report}` stands for the report's path."""
    timeout_s: float = 600.0
    report: str = ""
    """`junit`, `go-json` or empty (exit code only)."""


class SuiteKind(StrEnum):
    TESTS = "tests"
    CHECK = "check"
    EXHIBIT = "exhibit"
    """Tests of one author, transplanted: see `Exhibit`."""
    LINT = "lint"
    """What linters and type checkers say, as `counts`."""


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """One command of the platform's, run once in one fresh workspace."""

    subject: str
    """`base`, or a proposal id."""
    kind: SuiteKind
    name: str
    """`tests`, or the check's command; of a check of the platform's own its name. `tests of <commit>`, on base,
    are those of another side of a merge. Of an exhibit its id; of linters `lint`."""
    run: int = 1
    """From 1; the baseline is run more than once."""
    end: CommandEnd
    tests: dict[str, Outcome] = {}
    """By test id; empty for a check and for a run that left no readable report."""
    report_problem: str = ""
    """Why the report cannot be believed (absent, unreadable, cut off); empty when it can."""
    output: ArtifactRef | None = None
    """Standard output and error, whole up to the cap."""
    counts: dict[str, int] = {}
    """Findings by tool, of kind `lint`."""


class Tampering(msgspec.Struct, frozen=True, kw_only=True):
    """A protected file of base that a candidate changed or deleted."""

    path: str
    how: str
    """In words, by content: `deleted`, `12 lines removed: …`."""


class PreparedBase(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the repository that a task starts from."""

    repository_id: RepositoryId
    commit: CommitId
    suite: TestSuite | None
    """None: no tests were found or configured."""
    protected: tuple[str, ...]
    """gitignore-style patterns."""
    max_files: int
    max_diff_lines: int
    setup: str = ""
    notices: tuple[str, ...] = ()
    """What a person should know: submodules that stay empty, LFS pointers, …"""
    origin: CommitId | None = None
    """What `base_ref` named, where the task starts from decided commits instead; the result's bundle reaches back to
    it. None: it is `commit`."""
    start: CommitId | None = None
    """Where agents begin, when that is not `commit`: the merge of a merge task, with its conflict markers."""
    conflicts: tuple[str, ...] = ()
    """Paths in which the merge conflicts."""
    conflict: str = ""
    """What conflicts, in git's words, and the beginnings of the hunks; at most 8,000 characters of foreign text."""


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that came through the border: one commit on base, made by the platform from the agent's tree."""

    proposal_id: ProposalId
    agent_id: AgentId
    commit: CommitId
    tree: str
    """Object id of the tree: equal trees are the same change."""
    diff: ArtifactRef
    """Unified diff base..commit, without colour."""
    bundle: ArtifactRef
    """Git bundle with the one commit; prerequisite is base."""
    files: tuple[str, ...]
    lines_added: int
    lines_removed: int
    tampered: tuple[Tampering, ...] = ()
    flags: tuple[str, ...] = ()
    """Lesser findings of the tree policy, in words: adds `.gitattributes`, …"""
    fingerprint: str = ""
    """Key of safe duplicate merging: equal keys, same change up to comments and layout that means nothing."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that the border turned back."""

    proposal_id: ProposalId
    agent_id: AgentId
    reason: str


# --- tests as evidence -------------------------------------------------------------------------------------------


class Source(StrEnum):
    """What the author of a test had seen."""

    CANDIDATE = "candidate"
    """Came with the author's own proposal."""
    FINDING = "finding"
    """Reproduces what a reviewer says of a proposal."""
    SEALED = "sealed"
    """By a writer who saw story and base, and no candidate."""
    SPLIT = "split"
    """By a writer who saw two survivors, unnamed, to tell them apart."""
    PROBE = "probe"
    """By the platform: calls that no test makes. What each gives is the name of a test (`kernel/probing`), so that it
    says where candidates differ, and never who is right."""


PLATFORM = AgentId("platform")
"""The author of probes: it has no seat."""


class TestPack(msgspec.Struct, frozen=True, kw_only=True):
    """Tests that can be run alone on any commit: their files, and what they need to run."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    files: ArtifactRef
    """JSON of `PackedFile`s."""
    paths: tuple[str, ...]
    """The test files among them, sorted; the rest are fixtures, configuration and data that they need."""
    suite: TestSuite
    """Runs just these files."""


class PackedFile(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    content: bytes
    executable: bool = False


class Exhibit(msgspec.Struct, frozen=True, kw_only=True):
    """Tests of one author in one round, as one piece of evidence: run on base and on every candidate."""

    exhibit_id: str
    """A token, unique in its task: `own-dev-1-r1`, `finding-dev-2-r1`, `sealed-tester-1-r1`, `split-tester-1-r2`; with
    `-2` and so on behind where one author's tests need more than one runner."""
    author: AgentId
    source: Source
    round: int = 1
    pack: TestPack
    proposal_id: ProposalId = ProposalId("")
    """Of the author's own proposal that it came with."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a reviewer says is wrong with a proposal. Counts only as far as its reproducer, an exhibit, shows it."""

    proposal_id: ProposalId
    claim: str
    """At most 2,000 characters. For people and for the author of the proposal, never for the jury."""
    severity: str
    """`low`, `medium` or `high`, in the reviewer's opinion."""
    path: str
    """Where the reproducer lies in its exhibit."""
    reproducer: ArtifactRef
    """Its content."""
    exhibit_id: str = ""
    """Empty: it could not be made one, for `problem`."""
    problem: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge says of two proposals, shown in both orders."""

    one: ProposalId
    other: ProposalId
    better: ProposalId | None
    """None: a tie, or the two answers differ."""
    consistent: bool
    """Both orders gave the same answer."""
    judge: AgentId
    model: str
    reasons: tuple[str, ...] = ()
    """Of the two answers, at most 1,000 characters each."""
    problem: str = ""
    """Why there is no usable answer: then it says nothing."""

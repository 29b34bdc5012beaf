"""What came of the works in a task: proposals, findings, tests, verdicts, examinations.

In `deliberation.events.<task_id>`, written by the owning orchestrator.
"""

from typing import ClassVar

from folkmoot.kernel.analysis.document import Paper
from folkmoot.kernel.events import Fact
from folkmoot.kernel.evidence import (
    Admission,
    ArtifactRef,
    CommandEnd,
    Exhibit,
    Finding,
    Refusal,
    SuiteKind,
    Verdict,
)
from folkmoot.kernel.facts.deliberation import Work
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.result import Usage


class AttemptStarted(Fact, frozen=True, kw_only=True):
    """An agent begins, in a workspace of its own; attempts count from 1."""

    type_name: ClassVar[str] = "folkmoot.deliberation.attempt-started.v1"
    agent_id: AgentId
    attempt: int
    """Counts on through all that the agent does in the task."""
    phase: str = "propose"
    """As in `X-Folkmoot-Phase`: `propose`, `review`, `revise` or `test`."""
    round: int = 1


class AttemptLost(Fact, frozen=True, kw_only=True):
    """The attempt died under the agent (actor, workspace, runner); a new one may follow."""

    type_name: ClassVar[str] = "folkmoot.deliberation.attempt-lost.v1"
    agent_id: AgentId
    attempt: int
    reason: str
    usage: Usage = Usage()
    """What it had used as far as that is known."""


class ProposalAdmitted(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.proposal-admitted.v1"
    admission: Admission
    summary: str = ""
    """The author's prose: shown to people, never to peers or the jury."""
    usage: Usage = Usage()
    round: int = 1


class ProposalRefused(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.proposal-refused.v1"
    refusal: Refusal
    usage: Usage = Usage()
    round: int = 1


class DocumentSubmitted(Fact, frozen=True, kw_only=True):
    """What an agent of an analysis proposes, with its claims checked."""

    type_name: ClassVar[str] = "folkmoot.deliberation.document-submitted.v1"
    paper: Paper
    usage: Usage = Usage()


class AgentFailed(Fact, frozen=True, kw_only=True):
    """A stated failure: no proposal will come from this agent."""

    type_name: ClassVar[str] = "folkmoot.deliberation.agent-failed.v1"
    agent_id: AgentId
    reason: str
    usage: Usage = Usage()


class WorkEnded(Fact, frozen=True, kw_only=True):
    """A work that brought nothing more: a revision without a change, a review or a writer of tests that failed."""

    type_name: ClassVar[str] = "folkmoot.deliberation.work-ended.v1"
    work: Work
    reason: str
    failed: bool = False
    usage: Usage = Usage()


class ExhibitAdmitted(Fact, frozen=True, kw_only=True):
    """Tests of one author join the matrix."""

    type_name: ClassVar[str] = "folkmoot.deliberation.exhibit-admitted.v1"
    exhibit: Exhibit


class Reviewed(Fact, frozen=True, kw_only=True):
    """A reviewer is done; the exhibits of its findings stand before it."""

    type_name: ClassVar[str] = "folkmoot.deliberation.reviewed.v1"
    work: Work
    findings: tuple[Finding, ...] = ()
    summary: str = ""
    usage: Usage = Usage()


class TestsWritten(Fact, frozen=True, kw_only=True):
    """A writer of tests is done; the exhibits stand before it."""

    __test__ = False  # not a test case, whatever pytest thinks of the name
    type_name: ClassVar[str] = "folkmoot.deliberation.tests-written.v1"
    work: Work
    exhibits: tuple[str, ...]
    """Ids."""
    usage: Usage = Usage()


class Judged(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.judged.v1"
    verdict: Verdict
    usage: Usage = Usage()


class Examined(Fact, frozen=True, kw_only=True):
    """One examination; its test outcomes lie in the artifact, as JSON of `Examination`."""

    type_name: ClassVar[str] = "folkmoot.deliberation.examined.v1"
    subject: str
    kind: SuiteKind
    name: str
    run: int
    end: CommandEnd
    passed: int
    failed: int
    """Failures and errors."""
    skipped: int
    report_problem: str = ""
    examination: ArtifactRef

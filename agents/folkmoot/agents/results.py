"""What agents hand in: one result per agent, phase and round. All of one agent stand on one subject of the log."""

import msgspec

from folkmoot.agents.assignment import Assignment
from folkmoot.kernel import subjects
from folkmoot.kernel.analysis.document import Document, document_of, mapped, written
from folkmoot.kernel.errors import Conflict, Unavailable
from folkmoot.kernel.events import START, Head
from folkmoot.kernel.evidence import ArtifactRef, Finding
from folkmoot.kernel.facts import AgentFinished
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runtime.log.port import Artifacts, Log
from folkmoot.runtime.redact import redacted
from folkmoot.runtime.supervise import patiently
from folkmoot.tools.answer import Report
from folkmoot.tools.text import readable

CLAIMS_BYTES = 24 * 1024
"""Of all claims of one result together: an event must stay small."""


async def published(
    log: Log, task_id: TaskId, agent_id: AgentId, phase: str, number: int
) -> tuple[AgentFinished | None, Head]:
    """The agent's result of that phase and round `number`, None when there is none; and the head of all its results,
    behind which the next one comes. Raises Unavailable, BrokenChain."""
    subject = subjects.agent_result(task_id, agent_id)
    last = await log.last(subject)
    if last is None:
        return None, START
    every = await log.read(subject)
    if not every or every[-1].head.seq < last.head.seq:
        raise Unavailable(f"{subject} is read from a copy that lags behind")
    results = (stored.event.data for stored in every)
    found = next((r for r in results if isinstance(r, AgentFinished) and (r.phase, r.round) == (phase, number)), None)
    return found, every[-1].head


async def publish(assignment: Assignment, fact: AgentFinished, log: Log) -> AgentFinished:
    """Append `fact` behind its fence. When another result of this phase and round stands, that one is returned and
    counts; behind one of another phase, which a run left that was thought dead, it is appended all the same.

    Raises Unavailable, Conflict.
    """
    task, agent, after = assignment.task_id, assignment.agent_id, assignment.result_head
    while True:
        try:
            return await _append(log, task, fact, after)
        except Conflict:
            standing, head = await patiently(lambda: published(log, task, agent, fact.phase, fact.round))
            if standing is not None:
                return standing
            if head == after:
                raise
            after = head


async def _append(log: Log, task_id: TaskId, fact: AgentFinished, after: Head) -> AgentFinished:
    subject = subjects.agent_result(task_id, fact.agent_id)
    await patiently(lambda: log.append(subject, fact, after=after))
    return fact


async def kept(reports: tuple[Report, ...], artifacts: Artifacts) -> tuple[Finding, ...]:
    """Findings with their reproducers in the artifact store. Raises Unavailable."""
    share = CLAIMS_BYTES // max(1, len(reports))
    return tuple([await _kept(report, share, artifacts) for report in reports])


async def kept_document(text: str, artifacts: Artifacts) -> tuple[Document, ArtifactRef]:
    """What was handed in, readable and without secrets, in the artifact store. Raises InvalidInput, Unavailable."""
    document = mapped(document_of(text), lambda t: redacted(readable(t.encode("utf-8", "replace"))))
    body = written(document)
    return document, await patiently(lambda: artifacts.put(body))


async def _kept(report: Report, share: int, artifacts: Artifacts) -> Finding:
    content = report.content.encode()
    return Finding(
        proposal_id=report.proposal_id,
        claim=_within(report.claim, share),
        severity=report.severity,
        path=report.path,
        reproducer=await patiently(lambda: artifacts.put(content)),
    )


def _within(text: str, limit: int) -> str:
    """At most `limit` bytes of it as JSON, where a line break or a quotation mark takes two."""
    if len(msgspec.json.encode(text)) <= limit + 2:
        return text
    return text.encode()[: limit // 2].decode("utf-8", "ignore")

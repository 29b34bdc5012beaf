"""Judging: two candidates compared by a model, in both orders. What it cannot say clearly it has not said."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from folkmoot.agents import prompts
from folkmoot.agents.assignment import ModelEndpoint
from folkmoot.agents.errors import ModelError
from folkmoot.agents.shown import DIFF_CHARS, Sight, evidence, foreign
from folkmoot.agents.structured import Model, Question, Unusable, ask
from folkmoot.kernel.evidence import Verdict
from folkmoot.kernel.ids import AgentId, ProposalId
from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import ModelChoice
from folkmoot.runtime.supervise import first_leaf
from folkmoot.tools.text import readable

PHASE = "judge"
REASON_CHARS = 1_000


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge is shown. Names nobody."""

    one: ProposalId
    other: ProposalId
    judge: AgentId
    role: str
    """Whose rubric holds."""
    title: str
    text: str
    checks: tuple[str, ...]
    diffs: tuple[str, str]
    """Of `one` and `other`."""
    evidence: tuple[str, str]
    """In words that call `one` first, and in words that call it second."""
    documents: bool = False
    """They are documents: `diffs` are their texts."""


class _Form(msgspec.Struct):
    """The schema `verdict`."""

    reason: Annotated[str, Meta(description="the case or line that decides, and its criterion")]
    better: Annotated[Literal["first", "second", "tie"], Meta(extra_json_schema={"type": "string"})]


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, in one order."""

    better: str = ""
    reason: str = ""
    problem: str = ""
    usage: Usage = Usage()


def paired(
    sight: Sight,
    proposals: tuple[ProposalId, ProposalId],
    *,
    judge: AgentId,
    role: str,
    title: str,
    text: str,
    checks: tuple[str, ...],
) -> Pair:
    """`sight` has the diffs of both."""
    one, other = proposals
    first, second = (foreign(sight.diffs[proposal], DIFF_CHARS) for proposal in proposals)
    return Pair(
        one=one,
        other=other,
        judge=judge,
        role=role,
        title=title,
        text=text,
        checks=checks,
        diffs=(first, second),
        evidence=(_seen(sight, {"first": one, "second": other}), _seen(sight, {"first": other, "second": one})),
    )


def _seen(sight: Sight, columns: Mapping[str, ProposalId]) -> str:
    return evidence(sight, columns, {proposal: name for name, proposal in columns.items()})


async def compare(
    model: Model, endpoint: ModelEndpoint, pair: Pair, *, user: str, repairs: int
) -> tuple[Verdict, Usage]:
    """Both orders at once, each corrected at most `repairs` times. A verdict that differs between the orders is a tie
    that is not consistent; without two usable answers it says nothing, and why. `user` is `<task_id>/<agent_id>`."""
    try:
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(_asked(model, endpoint, pair, user, repairs, swapped), name=f"judge {user} {swapped}")
                for swapped in (False, True)
            ]
    except BaseExceptionGroup as failures:
        raise first_leaf(failures) from failures
    one, two = (task.result() for task in asked)
    return _verdict(pair, endpoint, one, two), one.usage.plus(two.usage)


async def _asked(model: Model, endpoint: ModelEndpoint, pair: Pair, user: str, repairs: int, swapped: bool) -> _Said:
    question = Question[_Form](
        name="verdict",
        phase=PHASE,
        user=user,
        messages=prompts.judging(pair.role, _facts(pair, swapped), documents=pair.documents),
        form=_Form,
        accept=lambda form: form,
    )
    try:
        answer = await ask(model, endpoint, question, repairs=repairs)
    except Unusable as unusable:
        return _Said(problem=unusable.problem, usage=unusable.usage)
    except ModelError as error:
        return _Said(problem=str(error))
    reason = readable(answer.value.reason.encode())[:REASON_CHARS]
    return _Said(better=answer.value.better, reason=reason, usage=answer.usage)


def _facts(pair: Pair, swapped: bool) -> dict[str, str]:
    first, second = reversed(pair.diffs) if swapped else pair.diffs
    return {
        "title": pair.title,
        "text": pair.text,
        "checks": "\n".join(f"- {check}" for check in pair.checks) or "none given",
        "candidates": prompts.diffs({"first": first, "second": second}, kind="document" if pair.documents else "diff"),
        "evidence": pair.evidence[1 if swapped else 0],
    }


def _verdict(pair: Pair, endpoint: ModelEndpoint, straight: _Said, swapped: _Said) -> Verdict:
    problem = straight.problem or swapped.problem
    one = {"first": pair.one, "second": pair.other}.get(straight.better)
    two = {"first": pair.other, "second": pair.one}.get(swapped.better)
    consistent = not problem and one == two
    return Verdict(
        one=pair.one,
        other=pair.other,
        better=one if consistent else None,
        consistent=consistent,
        judge=pair.judge,
        model=endpoint.name,
        reasons=tuple(said.reason for said in (straight, swapped) if said.reason),
        problem=readable(problem.encode("utf-8", "replace"))[:REASON_CHARS],
    )


def impartial(available: Sequence[ModelChoice], authors: Collection[ModelChoice]) -> ModelChoice:
    """Of `available`, in their order: a model that wrote none of the candidates; else one that runs elsewhere; else the
    first. Raises IndexError when there is none at all."""
    names = {author.name for author in authors}
    strangers = [m for m in available if m.name not in names]
    elsewhere = [m for m in available if m not in authors]
    return [*strangers, *elsewhere, *available][0]

"""Events and evidence as sentences: what people read where no terminal is, and in tables. Pure; not yet cleaned."""

from folkmoot.cli.lanes import passed
from folkmoot.cli.text import count, line, span
from folkmoot.kernel.analysis.document import Finding, Paper
from folkmoot.kernel.events import Event
from folkmoot.kernel.evidence import CommandEnd, SuiteKind, Verdict
from folkmoot.kernel.facts import (
    AgentFailed,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    CandidatesRanked,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    DocumentSubmitted,
    Examined,
    ExhibitAdmitted,
    Judged,
    OwnerTook,
    ProposalAdmitted,
    ProposalRefused,
    Reviewed,
    Stage,
    Staged,
    StepTaken,
    TestsWritten,
    WorkEnded,
)
from folkmoot.kernel.result import DecidedBy, Result, State

_BECAUSE = {
    DecidedBy.INTEGRITY: "the others were refused or tampered with protected files",
    DecidedBy.REGRESSION: "the others broke tests that passed before",
    DecidedBy.ACCEPTANCE: "the others failed the story's checks",
    DecidedBy.CROSS_EXAMINATION: "tests of peers told them apart",
    DecidedBy.SEALED_TESTS: "tests by writers who saw no candidate told them apart",
    DecidedBy.JUDGING: "judges compared them",
    DecidedBy.COST: "all else equal, it is the smaller change",
    DecidedBy.ONLY_CANDIDATE: "no other change was proposed",
}
_OF_DOCUMENTS = {
    DecidedBy.INTEGRITY: "the others claim what is false",
    DecidedBy.COST: "all else equal, fewer of its claims are unchecked, or it is shorter",
}


_STARTS = {"review": " to review", "revise": " to revise its proposal", "test": " to write tests"}
_STAGES = {
    Stage.PROPOSE: "agents propose",
    Stage.CRITIQUE: "peers review",
    Stage.REVISE: "authors revise",
    Stage.TEST: "tests are written",
    Stage.JUDGE: "near candidates are compared",
    Stage.RANK: "time to rank",
}


def sentence(event: Event) -> str:
    """One line about an event; empty for those that only machines care about."""
    match event.data:
        case DeliberationRequested(spec=spec):
            return f"{spec.task_id}: {line(spec.title, 120)}"
        case Convened(base=base, seats=seats, helpers=helpers):
            more = f" and {several(len(helpers), 'helper')}" if helpers else ""
            return f"{several(len(seats), 'agent')}{more} on base {base.commit[:12]}"
        case CandidatesRanked(ranking=ranking):
            return f"ranked {several(len(ranking), 'candidate')}"
        case CancelRequested(actor=actor, reason=reason):
            return f"{actor} asks to cancel" + (f": {line(reason)}" if reason else "")
        case Examined() as fact:
            return _examined(fact)
        case Staged() as fact:
            return _staged(fact)
        case DeliberationEnded(result=result):
            return verdict(result)
        case OwnerTook():
            return ""  # `moot log` says who; a view follows the task, whoever has it
        case _:
            return _of_agent(event)


def several(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _of_agent(event: Event) -> str:
    match event.data:
        case AttemptStarted(agent_id=agent, attempt=attempt, phase=phase):
            return f"{agent} starts{_STARTS.get(phase) or (f' again (attempt {attempt})' if attempt > 1 else '')}"
        case AttemptLost(agent_id=agent, reason=reason):
            return f"{agent} was lost: {line(reason)}"
        case AgentFailed(agent_id=agent, reason=reason):
            return f"{agent} hands nothing in: {line(reason)}"
        case ProposalRefused(refusal=refusal):
            return f"{refusal.agent_id}'s proposal is refused: {line(refusal.reason)}"
        case ProposalAdmitted(admission=found):
            return f"{found.agent_id} proposes {found.commit[:12]} (+{found.lines_added} -{found.lines_removed})"
        case StepTaken(kind="tool") as step:
            return f"{step.agent_id} {step.step}: {step.name}" + ("" if step.ok else " failed")
        case _:
            return _of_evidence(event)


def _of_evidence(event: Event) -> str:
    match event.data:
        case ExhibitAdmitted(exhibit=found):
            size = several(len(found.pack.paths), "file")
            return f"{found.author}'s tests join the evidence as {found.exhibit_id} ({size})"
        case Reviewed(work=work, findings=findings):
            of = ", ".join(dict.fromkeys(line(f.proposal_id, 40) for f in findings))
            return f"{work.agent_id} " + (
                f"finds {several(len(findings), 'fault')} in {of}" if of else "is done reviewing"
            )
        case TestsWritten(work=work, exhibits=exhibits):
            return f"{work.agent_id} has written {', '.join(exhibits) or 'no tests'}"
        case WorkEnded(work=work, reason=reason):
            return f"{work.agent_id} brings nothing more ({work.phase}): {line(reason)}"
        case DocumentSubmitted(paper=paper):
            return f"{paper.agent_id} hands in a document ({paper.kind}), {claims(paper)}"
        case Judged(verdict=verdict):
            return _judged(verdict)
        case _:
            return ""


def claims(paper: Paper) -> str:
    """`claims: 3 holds, 1 false`, or that there is none."""
    counts = [f"{n} {finding}" for finding in Finding if (n := paper.count(finding))]
    return f"claims: {', '.join(counts)}" if counts else "without a claim about the code"


def _staged(fact: Staged) -> str:
    reasons = "; ".join(line(r, 200) for r in fact.reasons)
    if fact.stage is Stage.PROPOSE and not fact.works:
        return reasons  # nobody is asked: the candidates are there
    return f"{_STAGES[fact.stage]}: {reasons}".removesuffix(": ")


def _judged(verdict: Verdict) -> str:
    says = f"{verdict.better} is better" if verdict.better else "level"
    if not verdict.consistent:
        says = "level, for its two answers differ"
    return f"{verdict.judge} compares {verdict.one} with {verdict.other}: {line(verdict.problem) or says}"


def _examined(fact: Examined) -> str:
    if fact.kind is SuiteKind.LINT:
        return f"looked over {fact.subject} with linters"
    what = f"check {line(fact.name, 60)!r}" if fact.kind is SuiteKind.CHECK else line(fact.name, 60)
    what += f" (run {fact.run})" if fact.run > 1 else ""
    return f"examined {fact.subject}: {what}: {outcome(fact)}"


def outcome(fact: Examined) -> str:
    """`passed`, `12 passed, 1 failed`, `ended by the time limit`, …"""
    if fact.kind is SuiteKind.CHECK:
        return "passed" if passed(fact) else ending(fact.end)
    if not (fact.passed or fact.failed or fact.skipped):
        return "passed" if passed(fact) else _unreported(fact)
    parts = [(fact.passed, "passed"), (fact.failed, "failed"), (fact.skipped, "skipped")]
    counts = ", ".join(f"{number} {word}" for number, word in parts if number)
    return f"{counts}; {fact.report_problem}" if fact.report_problem else counts


def _unreported(fact: Examined) -> str:
    """A limit is the cause, and no report its consequence."""
    limit = ending(fact.end) if fact.end.limit else ""
    return "; ".join(filter(None, (limit, fact.report_problem))) or ending(fact.end)


def ending(end: CommandEnd) -> str:
    if end.limit:
        return f"ended by the {end.limit} limit"
    return f"ended by signal {end.signal}" if end.signal is not None else f"exit {end.exit_code}"


def verdict(result: Result) -> str:
    """The answer in one sentence."""
    if result.winner and result.decided_by:
        sure = f" (confidence {result.confidence:.0%})" if result.confidence is not None else ""
        because = _BECAUSE | _OF_DOCUMENTS if result.document else _BECAUSE
        return f"Decided: {result.winner.proposal_id} wins, because {because[result.decided_by]}{sure}."
    words = {
        State.ABSTAINED: "Abstained: no candidate is good enough.",
        State.FAILED: "Failed: the deliberation could not be carried out.",
        State.CANCELLED: "Cancelled.",
        State.DECIDED: "Decided.",
    }
    return words.get(result.state, f"Still under way: {result.state}.")


def spent(result: Result) -> str:
    usage = result.usage
    tokens = count(usage.prompt_tokens + usage.completion_tokens)
    return f"{several(usage.model_calls, 'model call')}, {tokens} tokens, {span(usage.wall_s)}"


def next_steps(result: Result) -> list[tuple[str, str]]:
    """Commands to try, each with what it does."""
    task = result.task_id
    steps = [(f"moot evidence {task}", "what was observed of each candidate")]
    if result.document:
        steps.append((f"moot result {task} --json", "the document as JSON"))
    elif result.winner:
        steps.insert(
            0, (f"moot apply {task}", f"take it as branch {result.winner.branch}; your files stay as they are")
        )
        steps.append((f"moot diff {task}", "the whole change"))
    elif any(ranked.commit for ranked in result.ranking):
        steps.append((f"moot diff {task} --candidate {result.ranking[0].proposal_id}", "the change that came closest"))
        steps.append((f"moot continue {task} --check CMD", "add what would settle it; nobody proposes again"))
    if not result.state.terminal:
        steps = [(f"moot watch {task}", "follow it")]
    return steps

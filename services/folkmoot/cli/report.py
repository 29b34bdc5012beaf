"""The answer of a task on stdout: for people, or as the contract's JSON."""

import sys

import msgspec

from folkmoot.cli.client import Answer, Client, Evidence
from folkmoot.cli.codes import Code, Stopped, of_state
from folkmoot.cli.output import emit, say
from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.evidence import Admission
from folkmoot.kernel.result import Result

BUNDLE_BYTES = 8 * 1024 * 1024
"""Largest bundle that is fetched to show the commit's trailers."""


async def report(client: Client, answer: Answer, *, as_json: bool) -> Code:
    """Print the answer with the winner's diff and trailers; the exit code that it stands for."""
    if as_json:
        emit(await _whole(client, answer.result))
    else:
        await _show(client, answer)
    return of_state(answer.result.state)


async def _whole(client: Client, result: Result) -> object:
    """The contract's JSON; of a document that was chosen, its content beside its name."""
    if result.document is None:
        return result
    body = await client.artifact(result.document)
    named = msgspec.to_builtins(result)
    return named | {"document": named["document"] | {"content": msgspec.json.decode(body)}}


async def _show(client: Client, answer: Answer) -> None:
    from folkmoot.cli import draw
    from folkmoot.cli.paper import written
    from folkmoot.cli.screen import console

    out = console(sys.stdout)
    out.print(draw.decision(answer.result))
    if answer.result.document:
        out.print(draw.headed("Document", written(await client.artifact(answer.result.document))))
    elif answer.result.winner:
        try:
            diff, trailers = await _change(client, answer)
        except FolkmootError as error:
            say(f"The change itself could not be fetched: {error}")
        else:
            out.print(draw.headed(f"Change by {answer.result.winner.agent_id}", draw.change(diff)))
            if trailers:
                out.print(draw.headed("Trailers of the commit", draw.trailers(trailers)))
    out.print(draw.closing(answer.result))


async def _change(client: Client, answer: Answer) -> tuple[str, list[str]]:
    evidence = await client.evidence(answer.result.task_id)
    diff = await client.artifact(chosen(answer.result, evidence, "").diff)
    return diff.decode("utf-8", "replace"), await _trailers(client, answer)


async def _trailers(client: Client, answer: Answer) -> list[str]:
    from folkmoot.cli.message import commit_message, trailers
    from folkmoot.runner.border.bundle import BadBundle, parsed

    if answer.bundle is None or answer.bundle.size > BUNDLE_BYTES:
        return []
    try:
        bundle = parsed(await client.artifact(answer.bundle))
    except BadBundle:
        return []
    return trailers(commit_message(bundle.pack, len(bundle.tip) // 2))


def chosen(result: Result, evidence: Evidence, candidate: str) -> Admission:
    """The candidate of that proposal or agent id; without one, the winner. Raises Stopped."""
    if result.document or evidence.papers:
        raise _no_commit(result)
    wanted = candidate or (result.winner.proposal_id if result.winner else "")
    if not wanted:
        raise _no_winner(result)
    for admission in evidence.admissions:
        if wanted in (admission.proposal_id, admission.agent_id):
            return admission
    for refusal in evidence.refusals:
        if wanted in (refusal.proposal_id, refusal.agent_id):
            raise Stopped(Code.NOT_FOUND, f"{wanted} was refused at the border, so it has no diff: {refusal.reason}")
    known = ", ".join(a.proposal_id for a in evidence.admissions) or "none so far"
    raise Stopped(Code.NOT_FOUND, f"task {result.task_id} has no candidate {wanted!r}", f"candidates: {known}")


def _no_commit(result: Result) -> Stopped:
    what = f"task {result.task_id} is an analysis: it makes a document, and no commit"
    return Stopped(Code.USAGE, what, f"`moot result {result.task_id}` prints the document")


def _no_winner(result: Result) -> Stopped:
    if not result.state.terminal:
        hint = f"`moot watch {result.task_id}` follows it"
        return Stopped(Code.USAGE, f"task {result.task_id} is not decided yet: {result.state}", hint)
    hint = f"`moot evidence {result.task_id}` lists the candidates; `--candidate ID` shows one"
    return Stopped(of_state(result.state), f"task {result.task_id} has no winner: {result.state}", hint)


def winner_bundle(answer: Answer) -> tuple[str, str]:
    """Branch and commit of the winner. Raises Stopped."""
    winner = answer.result.winner
    if winner is None:
        raise _no_winner(answer.result)
    if answer.result.document:
        raise _no_commit(answer.result)
    return winner.branch, winner.commit

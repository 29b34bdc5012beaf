"""Tasks of high rigor on a whole platform: authors, reviewers, writers of tests and judges, all played by the rehearsal
model, all tests really run."""

from __future__ import annotations  # the stub types exist for the checker only

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.api.orchestrator.v1 import orchestrator_pb2_grpc as rpc
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.replay import EARLY
from folkmoot.platform.demo.material import write_repository
from folkmoot.rehearsal.script import Call, Script, Turn, compose
from folkmoot.rehearsal.server import serving
from folkmoot.runtime.grpc.client import channel, credentials
from tests.fixtures.platform import Moot, composed
from tests.fixtures.rehearsal import book, repository

HELPERS = {"tester-1": "sealed", "tester-2": "sealed", "splitter-1": "splits", "judge-1": "judges"}


def acceptable(result: dict[str, Any]) -> list[str]:
    return [r["proposal_id"] for r in result["ranking"] if r["acceptable"]]


def test_tests_of_peers_decide_where_every_check_passes(moot: Moot, tmp_path: Path) -> None:
    """L2: two right authors, and one whose change passes base's tests and every check: what tells them apart are the
    tests that they wrote, run on each other."""
    done = moot.solve("tally", {"dev-1": "plausible", "dev-2": "right", "dev-3": "differs"}, tmp_path, "--rigor", "L2")
    assert done.code == 0, done.err
    result = done.json
    assert result["winner"]["agent_id"] in ("dev-2", "dev-3")
    assert "dev-1-r1" in acceptable(result)
    shown = moot("evidence", result["task_id"]).out
    assert "own-dev-2-r1" in shown or "own-dev-3-r1" in shown
    replayed = moot("evidence", result["task_id"], "--replay")
    assert replayed.code == 0, replayed.out + replayed.err


def test_an_author_mends_what_a_peer_has_shown(moot: Moot, tmp_path: Path) -> None:
    """L2: a reviewer's reproducer fails on the plausible change; its author mends it, and the first one stays."""
    done = moot.solve("tally", {"dev-1": "mends", "dev-2": "right"}, tmp_path, "--rigor", "L2")
    assert done.code == 0, done.err
    result = done.json
    assert {"dev-1-r1", "dev-1-r2", "dev-2-r1"} == {r["proposal_id"] for r in result["ranking"]}
    assert result["winner"]["proposal_id"] in ("dev-1-r2", "dev-2-r1")


def wandering(cast: dict[str, str]) -> Script:
    """Authors that review by reading at length, and never come to an end: each turn costs thousands of tokens."""
    turns = tuple(
        Turn(text=f"{n}. I wonder. " * 1_000, calls=(Call(tool="search", arguments={"pattern": f"share{n}"}),))
        for n in range(80)
    )
    script = composed("tally", cast)
    behaviours = {name: {**phases, "review": turns} for name, phases in script.behaviours.items()}
    return msgspec.structs.replace(script, behaviours=behaviours)


def test_a_token_limit_in_the_middle_of_a_task_ends_it_with_the_best_so_far(moot: Moot, tmp_path: Path) -> None:
    """Counted by what the model says that each call took: reviewers are stopped in their tracks, and what there is of
    candidates is decided on, with the limit as a stated reason."""
    cast = {"dev-1": "right", "dev-2": "differs"}
    limit = 400_000
    argv = ("--rigor", "L2", "--max-tokens", str(limit))
    done = moot.solve("tally", cast, tmp_path, *argv, script=wandering(cast))
    assert done.code == 0, done.out + done.err
    result = done.json
    assert (result["state"], len(acceptable(result))) == ("decided", 2)
    assert re.fullmatch(rf"the task's token limit is reached: \d+ of {limit}: {EARLY}", result["reasons"][-1])
    spent = result["usage"]["prompt_tokens"] + result["usage"]["completion_tokens"]
    assert limit <= spent < 1.5 * limit
    told = moot("log", result["task_id"]).out
    assert "token limit" in told
    assert "revis" not in told


async def test_writers_who_saw_no_candidate_decide_between_two_camps(moot: Moot, tmp_path: Path) -> None:
    """L3: one author's test contradicts the other's; two writers of sealed tests settle it. Asked for by gRPC, as a
    client of another language does, which gets the answer with its evidence; `moot` says the same."""
    cast = {"dev-1": "insists", "dev-2": "right"} | HELPERS
    script = compose({AgentId(a): b for a, b in cast.items()}, book("tally"))
    material = repository("tally")
    write_repository(tmp_path / "repo", material)
    async with serving(script) as model, channel(moot.info.orchestrator) as open_channel:
        stub: rpc.OrchestratorServiceAsyncStub = rpc.OrchestratorServiceStub(open_channel)
        task = pb.Task(
            title=material.title,
            text=material.text,
            repository=str(tmp_path / "repo"),
            checks=material.checks,
            agents=2,
            rigor="L3",
            model_url=f"http://{model}/v1",
            model="rehearsal",
        )
        metadata = credentials(moot.info.token)
        async with asyncio.timeout(300):
            reply = await stub.Deliberate(pb.DeliberateRequest(task=task), metadata=metadata)
        evidence = await stub.GetEvidence(pb.GetEvidenceRequest(task_id=reply.result.task_id), metadata=metadata)
    assert reply.result.winner.agent_id == "dev-2"
    assert len(evidence.exhibits) >= 4
    said = await asyncio.to_thread(moot, "result", reply.result.task_id, "--json")
    assert (said.code, said.json["winner"]["agent_id"]) == (0, "dev-2"), said.err
    assert said.json["decided_by"] in ("sealed_tests", "judging")

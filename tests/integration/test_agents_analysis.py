"""An agent of an analysis, in a folder of its own: it hands a document in, and nothing else."""

import json
from pathlib import Path
from typing import Any

import msgspec

from folkmoot.agents.run import offered
from folkmoot.kernel.analysis.document import Document
from folkmoot.kernel.task import TaskKind
from tests.fixtures.agents import WRITE, Case, Scripted, calling

GOOD: dict[str, Any] = {"kind": "plan", "summary": "Read, then mend.", "steps": ["Read."]}
HANDS_IN = calling("submit", summary=json.dumps(GOOD))


async def test_the_summary_of_submit_is_the_document(tmp_path: Path) -> None:
    """It lies in the artifact store, without what is secret in it; no commit is made, whatever the workspace holds."""
    case = Case(tmp_path)
    secret = "token = ghp_" + "a1B2" * 9
    told = calling("submit", summary=json.dumps(GOOD | {"claims": [{"text": secret}]}))
    done = await case.run(WRITE, told, kind=TaskKind.ANALYSIS)
    assert (done.submitted, done.bundle, done.summary) == (True, None, "Read, then mend.")
    assert done.document is not None
    document = msgspec.json.decode(await case.bus.artifacts.get(done.document), type=Document)
    assert document.steps == ("Read.",)
    assert "ghp_" not in document.claims[0].text
    assert (await case.workspace.run(["git", "rev-parse", "HEAD"])).stdout.decode().strip() == case.commit


async def test_what_is_no_document_goes_back_to_the_model(tmp_path: Path) -> None:
    """With the field that is wrong; the next try may be right."""
    wrong = calling("submit", summary=json.dumps(GOOD | {"kind": "essay"}))
    model = Scripted(wrong, HANDS_IN)
    done = await Case(tmp_path).played(model, kind=TaskKind.ANALYSIS)
    assert done.submitted
    [answer] = [m for m in model.asked[1].messages if m["role"] == "tool"]
    said = json.loads(answer["content"])
    assert said["ok"] is False
    assert said["error"].startswith("document.kind: ")


async def test_three_in_a_row_end_the_run(tmp_path: Path) -> None:
    """With that as the stated reason."""
    done = await Case(tmp_path).run(*[calling("submit", summary="All good.")] * 3, kind=TaskKind.ANALYSIS)
    assert (done.submitted, done.document) == (False, None)
    assert "document: `summary` is no JSON object" in done.reason


async def test_what_it_is_told_names_the_schema_and_no_commit(tmp_path: Path) -> None:
    """And it has the tools of its role."""
    case = Case(tmp_path)
    model = Scripted(HANDS_IN)
    await case.played(model, kind=TaskKind.ANALYSIS)
    system, user = (m["content"] for m in model.asked[0].messages)
    assert "nothing is committed" in system
    assert '"root_cause"' in user
    tools = offered(msgspec.structs.replace(case.assignment, kind=TaskKind.ANALYSIS))
    assert tools == offered(case.assignment)
    review = msgspec.structs.replace(case.assignment, kind=TaskKind.ANALYSIS, phase="review")
    assert "report_finding" not in offered(review)
    assert offered(review)[-1] == "finish_review"

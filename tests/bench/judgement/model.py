"""An OpenAI-compatible server that plays everybody of every case: `http://…/<case id>/v1` is the model of that case.

Unlike a rehearsal script it looks at which candidates it is shown: a writer of splitting tests and a judge answer for
these two.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from folkmoot.kernel.errors import InvalidInput
from folkmoot.rehearsal import play, wire
from folkmoot.rehearsal.script import Call, Turn
from tests.bench.judgement.case import Case
from tests.bench.judgement.computed import answer, proposal

Shown = Sequence[tuple[str, str]]
"""Name and diff of each candidate."""


def turns(case: Case, agent: str, phase: str, shown: Shown) -> list[Turn]:
    """What `agent` says in this phase, from the first answer to the last."""
    match phase:
        case "propose":
            return _work(case.commit_files(agent), "It does what the task says.")
        case "review":
            return [*_findings(case, agent, shown), _one("finish_review", {"summary": "Looked at all of them."})]
        case "revise":
            return _revision(case, agent)
        case "test":
            return _work(_tests(case, agent, shown), "Tests from the story.")
        case "judge":
            return [Turn(json={"reason": "It follows the story more closely.", "better": _better(case, shown)})]
    return [Turn(text="I have nothing to say.")]


def _one(tool: str, arguments: Mapping[str, object]) -> Turn:
    return Turn(calls=(Call(tool=tool, arguments=dict(arguments)),))


def _work(files: Mapping[str, str | None], summary: str) -> list[Turn]:
    """Write, delete, commit, hand in."""
    calls = [
        Call(tool="run", arguments={"command": f"rm -f {path}"})
        if content is None
        else Call(tool="write_file", arguments={"path": path, "content": content})
        for path, content in files.items()
    ]
    done = [_one("commit", {"message": summary}), _one("submit", {"summary": summary})]
    return [Turn(calls=tuple(calls)), *done] if calls else done[1:]


def _revision(case: Case, agent: str) -> list[Turn]:
    author = next((c for c in case.candidates if c.name == agent), None)
    if author is None or author.revision is None:
        return [_one("submit", {"summary": "I leave it as it is."})]
    return _work(
        dict(author.revision.files) | dict.fromkeys(author.revision.deletes), "I have taken the criticism to heart."
    )


def _findings(case: Case, agent: str, shown: Shown) -> list[Turn]:
    names = identified(case, shown)
    author = next((c for c in case.candidates if c.name == agent), None)
    found = []
    for finding in author.findings if author else ():
        alias = next((name for name, candidate in names.items() if candidate == finding.of), "")
        if alias:
            reproducer = {"path": finding.path, "content": finding.content}
            said = {"proposal_id": alias, "claim": finding.claim, "severity": finding.severity}
            found.append(_one("report_finding", {**said, "reproducer": reproducer}))
    return found


def _tests(case: Case, agent: str, shown: Shown) -> Mapping[str, str]:
    if agent.startswith("splitter"):
        pair = set(identified(case, shown).values())
        return next((s.files for s in case.splits if set(s.pair) == pair), {})
    number = int(agent.rpartition("-")[2]) - 1
    return case.sealed[number] if number < len(case.sealed) else {}


def _better(case: Case, shown: Shown) -> str:
    names = {name: proposal(candidate) for name, candidate in identified(case, shown).items()}
    if len(names) < 2:
        return "tie"
    said = answer(case.id, case.judge, case.names, names["first"], names["second"])
    return next((name for name, candidate in names.items() if candidate == said), "tie")


def identified(case: Case, shown: Shown) -> dict[str, str]:
    """Which candidate stands behind which name: the one that adds the lines of the diff and no others."""
    return {name: min(case.names, key=lambda c: (_distance(case, c, diff), c)) for name, diff in shown}


def _distance(case: Case, name: str, diff: str) -> int:
    shown = _lines(line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++ "))
    files = [content for content in case.commit_files(name).values() if content]
    wanted = _lines(line for content in files for line in content.splitlines())
    known = _lines(line for content in case.base.values() for line in content.splitlines())
    return len(shown - wanted) * 4 + len(wanted - known - shown)


def _lines(lines: Iterable[str]) -> set[str]:
    return {line.strip() for line in lines if line.strip()}


def application(cases: Iterable[Case]) -> Starlette:
    by_id = {case.id: case for case in cases}

    async def complete(request: Request) -> Response:
        case = by_id.get(request.path_params["case"])
        try:
            ask = play.understand(await request.body(), request.headers.get("X-Folkmoot-Phase", "propose"))
        except InvalidInput as error:
            return _json(wire.error(str(error), "invalid_request_error"), 400)
        if case is None:
            return _json(wire.error("no such case", "not_found_error"), 404)
        said = turns(case, case.seats.get(ask.agent, ask.agent), ask.phase, ask.shown)
        turn = said[ask.turn] if ask.turn < len(said) else Turn(text="I am done.")
        if ask.stream:
            return StreamingResponse(iter(list(wire.events(turn, ask))), media_type="text/event-stream")
        return _json(wire.completion(turn, ask))

    async def models(_: Request) -> Response:
        return _json(wire.models())

    return Starlette(
        routes=[
            Route("/{case}/v1/chat/completions", complete, methods=["POST"]),
            Route("/{case}/v1/models", models),
        ]
    )


def _json(body: Mapping[str, object], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, not to a server in it."""
        yield


@asynccontextmanager
async def serving(cases: Iterable[Case]) -> AsyncIterator[str]:
    """The URL before the ids, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            application(cases), lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
        server = _Server(config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[sock]), name="judgement-model")
            try:
                yield f"http://127.0.0.1:{sock.getsockname()[1]}"
            finally:
                server.should_exit = True

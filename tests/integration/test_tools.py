"""Every tool on a real folder with a real git in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from folkmoot.kernel.evidence import Runner, TestSuite
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.tools.answer import Setting
from folkmoot.tools.arguments import Search
from folkmoot.tools.plans import _git_grep
from folkmoot.tools.table import TOOLS, BadCall, parsed, schemas
from folkmoot.tools.toolbox import Toolbox, ToolResult
from tests.folders import FolderWorkspace, repository


class Bench:
    """A toolbox on a repository, called as a model would."""

    def __init__(self, folder: Path) -> None:
        base = repository(folder, {"a.py": "x = 1\ny = 1\n", "src/b.py": "def b():\n    return 1\n"})
        suite = TestSuite(runner=Runner.COMMAND, command="echo ran {report}")
        setting = Setting(task_id=TaskId("t-1"), agent_id=AgentId("dev-1"), base=base, suite=suite)
        self.workspace = FolderWorkspace(folder)
        self.bus = MemoryBus(SystemClock())
        self._toolbox = Toolbox(self.workspace, self.bus.artifacts, setting, output_chars=1_000)

    async def raw(self, name: str, **arguments: object) -> ToolResult:
        return await self._toolbox.call(name, parsed(name, json.dumps(arguments), tuple(TOOLS)))

    @property
    def packed(self) -> bytes | None:
        return self._toolbox.packed

    async def __call__(self, name: str, **arguments: object) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads((await self.raw(name, **arguments)).text)
        return shown


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "repo")


async def test_files(bench: Bench) -> None:
    """Read by lines, write, append, list; what is not there is an ordinary failure."""
    assert (await bench("read_file", path="a.py", start_line=2))["output"] == "y = 1\n"
    assert not (await bench("read_file", path="a.py", start_line=9))["ok"]
    assert (await bench("write_file", path="new/c.txt", content="c"))["ok"]
    assert (await bench("append_file", path="new/c.txt", content="d"))["ok"]
    assert (await bench("read_file", path="new/c.txt"))["output"] == "cd"
    assert (await bench("list_files", depth=2))["output"].splitlines() == [
        "a.py",
        "new/",
        "new/c.txt",
        "src/",
        "src/b.py",
    ]
    for path in ("gone.py", "../outside", "src"):
        assert not (await bench("read_file", path=path))["ok"]


async def test_an_edit_must_match_exactly_once(bench: Bench) -> None:
    """The error says how often it matches, where, and what is near."""
    assert "2 matches, at lines 1, 2" in (await bench("edit_file", path="a.py", old=" = 1", new=" = 2"))["error"]
    near = (await bench("edit_file", path="src/b.py", old="   return 1 ", new="return 2"))["error"]
    assert "0 matches" in near
    assert "2:     return 1" in near
    assert (await bench("edit_file", path="a.py", old=" = 1", new=" = 2", replace_all=True))["replaced"] == 2
    assert bench.workspace.folder.joinpath("a.py").read_text() == "x = 2\ny = 2\n"


async def test_bytes_that_are_no_text_survive_an_edit(bench: Bench) -> None:
    """Only what was matched changes."""
    target = bench.workspace.folder / "latin.txt"
    target.write_bytes(b"caf\xe9 one\r\n")
    assert (await bench("edit_file", path="latin.txt", old="one", new="two"))["ok"]
    assert target.read_bytes() == b"caf\xe9 two\r\n"


async def test_search_with_and_without_ripgrep(bench: Bench) -> None:
    """Both engines find the same lines."""
    assert (await bench("search", pattern="return [0-9]", glob="*.py"))["output"] == "src/b.py:2:    return 1\n"
    assert (await bench("search", pattern="nowhere"))["matches"] == 0
    assert not (await bench("search", pattern="("))["ok"]
    done = await bench.workspace.run(_git_grep(Search(pattern="return [0-9]", glob="*.py")))
    assert done.stdout == b"src/b.py:2:    return 1\n"


async def test_commands(bench: Bench) -> None:
    """Output in order and clean, the exit code, the limit in words, the suite with its targets."""
    done = await bench("run", command="echo out; echo err >&2; printf '\\033[31mred\\033[0m\\007\\377'; exit 3")
    assert (done["ok"], done["exit_code"], done["error"]) == (False, 3, "exit code 3")
    assert done["output"] == "out\nerr\nred\ufffd"
    assert "time limit" in (await bench("run", command="sleep 30", timeout_s=0.2))["error"]
    assert (await bench("run_tests", targets=["a b"]))["output"] == "ran /tmp/folkmoot-report a b\n"
    assert not (await bench("run", command="echo \x00"))["ok"]


async def test_a_long_output_is_cut_in_the_middle_and_kept_whole(bench: Bench) -> None:
    """The model sees head and tail; the artifact has all of it."""
    result = await bench.raw("run", command="seq 1 2000")
    assert "lines left out" in json.loads(result.text)["output"]
    assert result.output is not None
    whole = await bench.bus.artifacts.get(result.output)
    assert whole.decode().split() == [str(n) for n in range(1, 2001)]
    assert result.output_bytes == len(whole)


async def test_git_and_submit(bench: Bench) -> None:
    """Commits carry who made them for which task; submit commits what is left and ends the run."""
    assert (await bench("commit", message="nothing"))["error"] == "nothing to commit"
    await bench("write_file", path="new.py", content="z = 1\n")
    assert "new.py" in (await bench("git_status"))["output"]
    assert "+z = 1" in (await bench("git_diff"))["output"]
    assert (await bench("commit", message="Add z"))["ok"]
    assert (await bench("git_log", count=1))["output"].rstrip().endswith("Add z")
    await bench("append_file", path="new.py", content="w = 1\n")
    result = await bench.raw("submit", summary="Added z and w")
    assert result.summary == "Added z and w"
    assert (bench.packed or b"").startswith(b"# v2 git bundle\n-")
    assert bench.workspace.git("status", "--porcelain") == ""
    body = bench.workspace.git("log", "-1", "--format=%an %B")
    assert body.startswith("dev-1 Added z and w")
    assert "Folkmoot-Task: t-1\nFolkmoot-Agent: dev-1" in body


async def test_a_commit_that_fails_does_not_end_the_run(bench: Bench) -> None:
    """The agent hears why, and may mend it; with nothing to hand in, the run ends and nothing is packed."""
    lock = bench.workspace.folder / ".git/index.lock"
    lock.touch()
    result = await bench.raw("submit", summary="x")
    assert (result.ok, result.summary) == (False, None)
    assert "index.lock" in result.error
    lock.unlink()
    result = await bench.raw("submit", summary="x")
    assert (result.ok, result.summary, bench.packed) == (True, "x", None)


def test_schemas_are_strict() -> None:
    """Every property is required, none may be added, optional ones are nullable."""
    for schema in schemas(tuple(TOOLS)):
        function = schema["function"]
        parameters = function["parameters"]
        assert function["strict"] is True
        assert parameters["additionalProperties"] is False
        assert parameters["required"] == list(parameters["properties"])


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("teleport", "{}", "no tool"),
        ("read_file", '{"path": ""}', "path: "),
        ("read_file", '{"path": "a", "lines": 1}', "unknown field `lines`"),
        ("run", '{"command": "x", "timeout_s": -1}', "timeout_s: "),
        ("run", "[]", "Expected `object`"),
        ("run", '{"command": "\\ud800"}', "JSON"),
    ],
)
def test_wrong_arguments_are_named(name: str, arguments: str, said: str) -> None:
    """So that the model can mend them."""
    with pytest.raises(BadCall, match=said.replace("`", ".")):
        parsed(name, arguments, tuple(TOOLS))


async def test_secrets_reach_neither_model_nor_log(bench: Bench) -> None:
    """What a command prints is searched whole, before it is cut: the artifact has no secret either."""
    secret = "ghp_" + "a1B2c3" * 6
    shown = await bench.raw("run", command=f"echo {secret[:9]}''{secret[9:]}; yes line | head -c 3000; exit 3")
    assert secret not in shown.text
    assert "[redacted:github]" in shown.text
    assert shown.output is not None
    kept = await bench.bus.artifacts.get(shown.output)
    assert secret.encode() not in kept
    assert kept.startswith(b"[redacted:github]\n")
    failed = await bench.raw("read_file", path=f"{secret}.txt")
    assert not failed.ok
    assert secret not in failed.text + failed.error

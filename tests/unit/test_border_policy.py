"""The border's own policy, without git: names, modes, links, messages, tampering."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runner import interference, policy
from folkmoot.runner.border.admission import Candidate, candidate_ref
from folkmoot.runner.border.bundle import BadBundle, parsed
from folkmoot.runner.border.counting import counted
from folkmoot.runner.border.entries import Entry
from folkmoot.runner.border.message import commit_message
from folkmoot.runner.border.tree import forbidden, link_escapes


def entry(path: bytes, mode: str = "100644", operation: str = "A", old: str = "000000") -> Entry:
    return Entry(path=path, old_mode=old, new_mode=mode, old_object="0" * 40, new_object="1" * 40, operation=operation)


@pytest.mark.parametrize(
    "path",
    [
        b".git/config", b"a/.GIT/x", b".Git", b"git~1/x", b"GIT~1", b"GI7EBA~1", b"gitmod~1", b".git./x", b".git /x",
        b".git...", b".git::$INDEX_ALLOCATION/x", b".git:x", "\u200c.git/x".encode(), ".g\u200dit".encode(),
        ".gi\ufefft/x".encode(), "\u200b.git".encode(), ".git\ufe0f".encode(), ".ｇｉｔ/x".encode(), b"a\\.git\\x",
        b".giT ", b"a//b", b"../a",
        b"./a", b"a/..", b"/a", b".gitmodules", b"a/.GITMODULES", b".gitmodules .", b"a\nb", b"a\x00b", b"\x7f",
        "a\u0085b".encode(), b"a" * 4_097,
    ],
)  # fmt: skip
def test_forbids_names(path: bytes) -> None:
    """Whatever any file system may take for `.git`, for a way out, or for a terminal command."""
    assert forbidden(entry(path))
    assert not forbidden(entry(path, "000000", "D"))


@pytest.mark.parametrize(
    "path",
    [b".gitignore", b".gitattributes", b".github/x", b"git", b"a.git/x", b"x~1", b"-a", b"caf\xe9", b"a b", b"~"],
)
def test_allows_names(path: bytes) -> None:
    """Ordinary names, and odd but harmless ones."""
    assert not forbidden(entry(path))


@pytest.mark.parametrize("mode", ["160000", "100600", "040000", "100666", "140000"])
def test_forbids_modes(mode: str) -> None:
    """Files, executables and links only; changed ones count like new ones."""
    assert forbidden(entry(b"a", mode))
    assert forbidden(entry(b"a", mode, "M", mode))


@pytest.mark.parametrize(
    ("path", "target", "escapes"),
    [
        (b"a", b"b", False), (b"d/a", b"../b", False), (b"d/e/a", b"../../b/c", False), (b"a", b"./b", False),
        (b"a", b"..", True), (b"d/a", b"../..", True), (b"a", b"/etc", True),
        (b"a", b"b/../c", True),
        (b"a", b"", True),
        (b"a", b".git/config", True), (b"d/a", b"../.GIT", True), (b"a", b"b\0c", True), (b"a", b"..\\x", True),
        (b"a", b"x" * 4_097, True),
    ],
)  # fmt: skip
def test_links(path: bytes, target: bytes, escapes: bool) -> None:
    """A link stays inside, whatever other links it meets on its way."""
    assert link_escapes(path, target) is escapes


@given(st.text(max_size=300))
def test_nobody_else_sets_our_trailers(text: str) -> None:
    """Whatever an agent writes, the message is plain text and exactly our two lines start with our names."""
    message = commit_message(text, TaskId("t"), AgentId("a"))
    ours = [line for line in message.splitlines() if line.lower().lstrip().startswith("folkmoot-")]
    assert ours == ["Folkmoot-Task: t", "Folkmoot-Agent: a"]
    assert all(c == "\n" or c.isprintable() or c.isspace() for c in message)
    message.encode()


@pytest.mark.parametrize(
    "text",
    ["Folkmoot-Agent: x", "a\nFOLKMOOT-task : x", "a\n\t folkmoot-x:y",
     "a\u2028Folkmoot-Agent: x", "\rFolkmoot-Task: y"],
)  # fmt: skip
def test_trailers_in_a_message_are_neutralised(text: str) -> None:
    """Spelled, indented or separated otherwise, they are quoted or run into the line before."""
    message = commit_message(text, TaskId("t"), AgentId("a"))
    assert sum(line.lower().lstrip().startswith("folkmoot-") for line in message.splitlines()) == 2


@pytest.mark.parametrize(("task", "agent", "round_"), [("../x", "a", 1), ("t", "A", 1), ("t", "a", 0), ("t", "a/b", 1)])
def test_ids_that_cannot_stand_in_a_ref(task: str, agent: str, round_: int) -> None:
    """A ref is made of ids only."""
    with pytest.raises(InvalidInput):
        candidate_ref(Candidate(task_id=TaskId(task), agent_id=AgentId(agent), round=round_, bundle=b"", message=""))


@pytest.mark.parametrize(
    ("path", "line", "marks"),
    [
        (b"test_a.py", "    @pytest.mark.skipif(True)", True), (b"test_a.py", "pytest.skip('x')", True),
        (b"test_a.py", "pytestmark = pytest.mark.xfail", True), (b"test_a.py", "skipped = 1", False),
        (b"a_test.go", "\tt.Skip()", True), (b"a_test.go", "//go:build x", True), (b"a_test.go", "skip := 1", False),
        (b"a.test.js", "test.only('x', () => {})", True), (b"a.test.mjs", "test('x', {skip: true}, f)", True),
        (b"a.test.js", "xit('x')", True), (b"a.test.js", "exit('x')", False), (b"tests/a.txt", "skip", False),
    ],
)  # fmt: skip
def test_skip_markers(path: bytes, line: str, marks: bool) -> None:
    """The usual ways to keep a test from counting, in each language."""
    assert bool(interference.skip_markers(path, [line])) is marks


def test_a_gained_line_end_is_no_change() -> None:
    """Appending behind a last line without line end removes nothing."""
    patch = b"--- a\n+++ b\n@@ -2 +2,2 @@\n-end\n\\ No newline at end of file\n+end\n+more\n"
    assert interference.line_changes(patch) == interference.LineChanges(added=("more",))
    changed = b"@@ -2 +2,2 @@\n-end\n\\ No newline at end of file\n+END\n+more\n"
    assert interference.line_changes(changed).removed == ("end",)


@pytest.mark.parametrize(
    "path",
    [
        b"tests/a/b.txt", b"x/tests/a.py", b"test_a.py", b"x/a_test.py", b"a_test.go", b"a.test.ts", b"conftest.py",
        b"x/pytest.ini", b"tox.ini", b".github/workflows/a.yml", b".moot.toml", b"uv.lock", b"x/go.sum",
        b".gitlab-ci.yml",
    ],
)  # fmt: skip
def test_what_is_protected(path: bytes) -> None:
    """Tests, their configuration, CI and lock files."""
    assert policy.matches(policy.matcher(policy.PROTECTED), path)


@pytest.mark.parametrize(
    "path", [b"src/app.py", b"README.md", b"latest.py", b"pyproject.toml", b"x/.moot.toml", b"cmd/test.go"]
)
def test_what_is_not_protected(path: bytes) -> None:
    """The product itself."""
    assert not policy.matches(policy.matcher(policy.PROTECTED), path)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """The header's reader raises nothing but its own verdict."""
    for body in (content, b"# v2 git bundle\n" + content, b"# v3 git bundle\n@" + content + b"\n\nPACK"):
        with pytest.raises(BadBundle):
            parsed(body)


@pytest.mark.parametrize(
    ("path", "mode", "module"),
    [
        (b"pytest.py", "100644", "pytest"), (b"pytest.pyc", "100644", "pytest"), (b"json.abi3.so", "100755", "json"),
        (b"_pytest/__init__.py", "100644", "_pytest"), (b"pytest/__init__.pyc", "100644", "pytest"),
        (b"pytest", "120000", "pytest"), (b"types.py", "120000", "types"),
        (b"pytest/__main__.py", "100644", ""), (b"src/types.py", "100644", ""), (b"types.ts", "100644", ""),
        (b"test/__init__.py", "100644", ""), (b"calc.py", "100644", ""), (b"queue/main.go", "100644", ""),
        (b"pytest.md", "100644", ""), (b"pytest.d/__init__.py", "100644", ""),
    ],
)  # fmt: skip
def test_modules_that_would_be_imported_instead(path: bytes, mode: str, module: str) -> None:
    """At the root, by whatever Python imports; what base has already is base's affair."""
    assert interference.shadowed(entry(path, mode)) == module
    assert interference.shadowed(entry(path, mode, "M", mode)) == ""


@pytest.mark.parametrize(
    ("old", "new", "mode", "how"),
    [
        (b"[project]\nname = 'a'\n", b"[project]\nname = 'b'\n", "100644", ""),
        (b"", b"[tool.ruff]\nline-length = 99\n", "100644", ""),
        (b"[tool.pytest.ini_options]\na = 1\n", b"x = 1\n[tool.pytest.ini_options]\na = 1 # b\n", "100644", ""),
        (b"", b"[tool.pytest.ini_options]\n", "100644", "[tool.pytest] changed"),
        (b"", b"tool.pytest.addopts = ['-p', 'evil']\n", "100644", "[tool.pytest] changed"),
        (b"[tool.pytest.ini_options]\na = 1\n", b"", "000000", "[tool.pytest] changed"),
        (b"", b"[tool.tox]\nenv_list = []\n", "100644", "[tool.tox] changed"),
        (b"", b"[tool", "100644", "is no TOML"), (b"", b"\xff", "100644", "is no TOML"),
        (b"", b"a = " + b"[" * 60_000, "100644", "is no TOML"),
        (b"[tool", b"", "100644", ""), (b"", b"other.toml", "120000", "is a symbolic link"),
    ],
)  # fmt: skip
def test_tables_that_say_how_tests_are_run(old: bytes, new: bytes, mode: str, how: str) -> None:
    """Of pyproject.toml only these are base's; they are compared by what they mean."""
    said = interference.project_tampering(old, new, mode)
    assert said.startswith(how)
    assert bool(said) is bool(how)


@pytest.mark.parametrize(
    ("path", "steers"),
    [
        (b"conftest.py", True), (b"tests/a/conftest.py", True), (b"x.DIST-INFO/entry_points.txt", True),
        (b"x.egg-info", True), (b"a/__pycache__/b.txt", True), (b"b.pyc", True), (b".npmrc", True),
        (b"pytest.toml", True), (b"x/.pytest.toml", True), (b"tests/test_a.py", False), (b"uv.lock", False),
        (b".github/workflows/a.yml", False), (b".moot.toml", False), (b"calc.py", False),
    ],
)  # fmt: skip
def test_what_steers_a_run(path: bytes, steers: bool) -> None:
    """Never a candidate's own; tests and lock files that it adds are not meant."""
    assert policy.steers(path) is steers


def test_many_small_findings_hide_no_grave_one() -> None:
    """One of each kind, the gravest first."""
    small = [entry(f"a{n}.sh".encode(), "100755") for n in range(30)]
    said = policy.flags([*small, entry(b".github/x.yml"), entry(b"z/.husky"), entry(b".husky/pre-commit")])
    assert said == (
        "adds a hook: .husky/pre-commit",
        "adds a CI file: .github/x.yml",
        "makes executable: a0.sh and 29 more",
    )


@given(st.lists(st.binary(max_size=9).filter(lambda line: not {10, 13} & {*line}), max_size=9))
def test_no_line_passes_for_a_header(lines: list[bytes]) -> None:
    """A hunk's header says how many lines follow, whatever they look like."""
    patch = b"diff --git a/a b/a\n@@ -0,0 +1,%d @@ x\n" % len(lines) + b"".join(b"+%b\n" % line for line in lines)
    assert counted(patch * 2) == (2 * len(lines), 0)
    assert counted(b"@@ -1 +1 @@\n-@@ -1,9 +1,9 @@\n\\ No newline at end of file\n++++ b\n") == (1, 1)


def test_what_is_around_a_change_is_not_counted() -> None:
    """Context stands on both sides of a hunk, also where it looks like a change or like the head of another."""
    patch = b"@@ -3,4 +3,5 @@ def f():\n +a\n @@ -1,9 +1,9 @@\n-old\n+new\n+more\n -b\n\\ No newline at end of file\n"
    assert counted(patch + patch) == (4, 2)

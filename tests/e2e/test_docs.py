"""The documentation does what it says: each page's console blocks run, in order, in one shell."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.fixtures.platform import BIN, Moot

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BY_NAME = {
    "make demo": "CI runs it in a fresh clone",
    "make test": "CI runs it in a fresh clone, and this is part of it",
}
"""Commands that are not run here, and why."""
ON_THE_COMMON_PLATFORM = {
    "cli.md",
    "councils.md",
    "decisions.md",
    "hello-world.md",
    "rehearsal.md",
    "your-repository.md",
}
"""Pages that neither start nor configure one: theirs is the one that other tests use, which saves starting it."""
PAGE_S = 280
"""Some start three platforms, one after the other; the test itself may take 300 s."""
ENDED = "--- command {number} ended with {code} ---"


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A command of a page, and what the page says that it prints; nothing given, nothing asked."""

    command: str
    prints: str


def console_blocks(page: str) -> list[str]:
    return re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(block: str) -> Iterator[Shown]:
    """`$ ` begins a command, which a last backslash or `> ` on the next line continues; all else is what it prints."""
    for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command = re.match(r"(?:.*\\\n)*.*\n?(?:>(?: .*)?\n)*", text)
        assert command is not None
        typed = re.sub(r"^> ?", "", command[0].rstrip(), flags=re.MULTILINE)
        yield Shown(command=re.sub(r"\s+#\s.*$", "", typed), prints=text[command.end() :].strip("\n"))


def fits(said: str, shown: str) -> bool:
    """`...` stands for anything; on a line of its own, for any number of lines."""
    lines = (
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(re.escape("..."), ".*") + r"\n"
        for line in shown.splitlines()
    )
    tidy = "".join(f"{line.rstrip()}\n" for line in said.strip("\n").splitlines())
    return re.fullmatch("".join(lines), tidy) is not None


def script(shown: list[Shown]) -> str:
    """One shell: what a command changes (folder, variables) holds for the next."""
    lines = [
        f"{step.command}\nprintf '\\n{ENDED}\\n'".replace("{number}", str(i)).replace("{code}", "%d") + ' "$?"'
        for i, step in enumerate(shown)
    ]
    return "\n".join(lines) + "\n"


def runnable(page: Path) -> list[Shown]:
    found = [step for block in console_blocks(page.read_text("utf-8")) for step in commands(block)]
    return [step for step in found if step.command not in BY_NAME]


def run(page: Path, folder: Path, env: dict[str, str]) -> None:
    folder.mkdir()
    shown = runnable(page)
    done = subprocess.run(
        ["bash", "-c", script(shown)],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PAGE_S,
        check=False,
    )
    rest = done.stdout.decode()
    for number, step in enumerate(shown):
        said, mark, rest = rest.partition(f"\n{ENDED.format(number=number, code=0)}\n")
        assert mark, f"{page.name}: `{step.command}` did not end with 0:\n{said}"
        assert not step.prints or fits(said, step.prints), (
            f"{page.name}: `{step.command}` is said to print\n{step.prints}\nand prints\n{said}"
        )


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a person who has set nothing, with a data folder of its own; no platform stays up on it."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("FOLKMOOT_")}  # noqa: TID251 -- a user's shell
    env = kept | {"FOLKMOOT_DATA": str(tmp_path / "data"), "PATH": f"{BIN}:{kept['PATH']}", "NO_COLOR": "1"}
    yield env
    subprocess.run([str(BIN / "moot"), "down"], env=env, check=True, capture_output=True, timeout=60)


def pages(*, common: bool) -> list[Path]:
    return [p for p in PAGES if runnable(p) and (p.name in ON_THE_COMMON_PLATFORM) is common]


@pytest.mark.parametrize("page", pages(common=True), ids=lambda p: p.name)
def test_a_page_holds_on_a_platform_that_is_up(page: Path, moot: Moot, tmp_path: Path) -> None:
    """Each command ends with 0 and prints what the page shows."""
    run(page, tmp_path / "page", moot.env)


@pytest.mark.parametrize("page", pages(common=False), ids=lambda p: p.name)
def test_a_page_holds_from_nothing(page: Path, alone: dict[str, str], tmp_path: Path) -> None:
    """The same where no platform is up, and the page starts what it needs."""
    run(page, tmp_path / "page", alone)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_looks_like_a_command_is_run_or_marked_as_text(page: Path) -> None:
    """An indented `moot …`, or one in another kind of block, would be a promise that nobody keeps."""
    text = re.sub(r"^```(\w*)\n.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(r"^ {4}(?:moot|python -m|export|make) .*$", text, re.MULTILINE)


def test_links_lead_somewhere() -> None:
    """Every relative link of a page names a file that is there."""
    links = [(p, t) for p in PAGES for t in re.findall(r"\]\(([^)#:]+)\)", p.read_text("utf-8"))]
    assert links
    assert [(p.name, t) for p, t in links if not (p.parent / t).exists()] == []


def test_wildcards_stand_for_what_they_should() -> None:
    """`...` inside a line stays inside it; alone on a line it spans lines; all else is literal."""
    assert fits("a 12 b\n", "a ... b")
    assert not fits("a\nb", "a...b")
    assert fits("x\ny\nz\nend", "x\n...\nend")
    assert fits("x\nend", "x\n...\nend")
    assert not fits("x\ny", "x\n...\nend")
    assert not fits("axb", "a.b")

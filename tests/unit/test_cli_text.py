"""Words, codes and small decisions of `moot`: no process, no platform."""

import json
import os
import re
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.cli import codes, repository, solve
from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.main import _run
from folkmoot.cli.message import commit_message, trailers
from folkmoot.cli.text import clean, count, headline, line, span, visible
from folkmoot.kernel import errors
from folkmoot.kernel.result import State
from folkmoot.kernel.task import ModelChoice
from folkmoot.runtime.settings import ModelSettings, Settings

FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[2J\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil.invalid\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP$q\x1b\\x", "x"),
        ("a\x1b", "a"),
        ("a\tb\r\nc", "a    b\nc"),
        ("a\rb", "a\ufffdb"),
        ("back\x08\x08", "back\ufffd\ufffd"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("\udcff", "\ufffd"),
        ("grüße ✓ 漢字", "grüße ✓ 漢字"),
    ],
)
def test_hostile_text_becomes_harmless(hostile: str, harmless: str) -> None:
    """Escape sequences vanish, control and direction characters are marked, letters stay."""
    assert clean(hostile) == harmless


def test_a_diff_hides_no_line_behind_an_escape_sequence() -> None:
    """A terminal's string in a comment would swallow the lines up to its end."""
    assert "evil()" in visible("+// \x1b]0;\n+evil()\n+// \x07\n")


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    """Whatever comes in."""
    assert not FORBIDDEN.search(clean(text))
    assert not FORBIDDEN.search(visible(text))
    assert "\n" not in line(text)


@given(st.text(), st.integers(1, 50))
def test_a_line_is_never_too_long(text: str, width: int) -> None:
    """Also when it is cut."""
    assert len(line(text, width)) <= width


def test_what_is_not_utf8_is_usage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In any argument, and as the folder that one stands in: exit code 2 and a sentence, no traceback."""
    wrong = os.fsdecode(b"gr\xfc\xdfe")
    assert _run(["solve", wrong, "--json"], debug=False) == Code.USAGE
    assert "is not UTF-8" in json.loads(capfd.readouterr().out)["error"]["message"]
    folder = tmp_path / wrong
    (folder / ".git").mkdir(parents=True)
    with pytest.raises(errors.InvalidInput, match=r"--repo: .*is not UTF-8"):
        repository.located(str(folder))


def test_numbers_for_people() -> None:
    """Short, with a unit."""
    assert [count(n) for n in (940, 12_345, 4_500_000)] == ["940", "12.3k", "4.5M"]
    assert [span(s) for s in (-1, 4.21, 42, 65, 7209)] == ["0.0 s", "4.2 s", "42 s", "1:05", "2:00:09"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFound("x"), Code.NOT_FOUND),
        (errors.InvalidInput("f", "x"), Code.USAGE),
        (errors.FailedPrecondition("g", "x"), Code.USAGE),
        (errors.Unauthenticated("x"), Code.USAGE),
        (errors.Unavailable("x"), Code.OURS),
        (errors.BrokenChain("x"), Code.OURS),
        (errors.Misconfigured("x"), Code.OURS),
        (Stopped(Code.ABSTAINED, "x"), Code.ABSTAINED),
    ],
)
def test_errors_have_the_contracts_codes(error: errors.FolkmootError, code: Code) -> None:
    """What the caller did is 2, what is not there 6, the rest 1."""
    assert codes.of_error(error) is code
    assert codes.complaint(error).code is code


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (errors.NotFound("there is no story t-1"), "a task's id"),
        (errors.NotFound("there is no story s-1"), "`moot story list`"),
        (errors.NotFound("there is no task t-1"), "those that wait are not there yet"),
        (errors.FailedPrecondition("running", "a platform runs on /d already"), "moot up --detach"),
        (errors.FailedPrecondition("running", "task t-1 has not ended"), ""),
    ],
)
def test_a_hint_is_about_what_went_wrong(error: errors.FolkmootError, hint: str) -> None:
    """A task's id where a story's belongs is told as that; who cannot export is not told of starting platforms."""
    said = codes.complaint(error).hint
    assert hint in said if hint else said == ""


def test_states_have_the_contracts_codes() -> None:
    """A task that still runs is no failure."""
    expected = {State.ABSTAINED: 3, State.FAILED: 4, State.CANCELLED: 5}
    assert {s: int(codes.of_state(s)) for s in State} == {s: expected.get(s, 0) for s in State}


# --- what `solve` makes of its arguments -------------------------------------------------------------------------


def test_a_title_is_the_first_line_that_says_something() -> None:
    """Cut to one line of a title's length."""
    assert headline("\n  \n Fix   the\tsum. \nMore.") == "Fix the sum."
    assert len(headline("x" * 500)) == 80


async def test_no_model_is_said_with_how_to_have_one() -> None:
    """A name without a URL is none; a URL and a name need no question to the server."""
    with pytest.raises(Stopped) as caught:
        await solve.named(solve.Wish(text="x", model="m"), ModelChoice(), ModelSettings())
    assert (caught.value.code, "FOLKMOOT_MODEL_URL" in caught.value.hint) == (Code.USAGE, True)
    wish = solve.Wish(text="x", model_url="http://a.invalid/v1")
    assert await solve.named(wish, ModelChoice(name="m"), ModelSettings()) == wish


def test_a_key_does_not_follow_to_another_url() -> None:
    """The key in the settings belongs to the URL in the settings."""
    settings = Settings(data="/d", model=ModelSettings(url="http://a/v1", name="m", api_key="secret"))
    other = solve.with_model(settings, solve.Wish(text="x", model_url="http://b/v1", model="n")).model
    assert (other.url, other.name, other.api_key) == ("http://b/v1", "n", "")
    same = solve.with_model(settings, solve.Wish(text="x", model_url="http://a/v1")).model
    assert same == settings.model


def test_a_key_alone_is_for_the_url_on_the_command_line() -> None:
    """Whoever sets only the key names the server with the command."""
    settings = Settings(data="/d", model=ModelSettings(api_key="secret"))
    assert solve.with_model(settings, solve.Wish(text="x", model_url="http://b/v1")).model.api_key == "secret"


@pytest.mark.parametrize("url", ["https://example.invalid/r.git", "ssh://h/r", "git@example.invalid:r.git"])
def test_a_url_is_left_as_it_is(url: str) -> None:
    """The runner fetches it, not we."""
    assert repository.located(url) == url


def test_a_path_becomes_the_top_of_its_repository(tmp_path: Path) -> None:
    """A `.git` may be a folder or, in a linked work tree, a file."""
    top = tmp_path / "a b\nc"
    (top / "deep" / "er").mkdir(parents=True)
    (top / ".git").write_text("gitdir: elsewhere")
    assert repository.located(str(top / "deep" / "er")) == str(top)
    with pytest.raises(errors.InvalidInput, match="in no git repository"):
        repository.located(str(tmp_path))


# --- trailers ----------------------------------------------------------------------------------------------------


def packed(*objects: tuple[int, bytes]) -> bytes:
    """A pack of small objects: kind and content."""
    out = b"PACK" + struct.pack(">II", 2, len(objects))
    for kind, body in objects:
        size, head = len(body) >> 4, bytes([(kind << 4) | (len(body) & 15) | (0x80 if len(body) >> 4 else 0)])
        while size:
            head += bytes([(size & 127) | (0x80 if size >> 7 else 0)])
            size >>= 7
        out += head + (b"\0" * 20 if kind == 7 else b"") + zlib.compress(body)
    return out


MESSAGE = "Count both\n\nBecause.\n\nMoot-Task: t-1\nMoot-Agent: dev-1\n"
COMMIT = (1, b"tree 0\nauthor x\n\n" + MESSAGE.encode())


@pytest.mark.parametrize("before", [[], [(3, b"blob" * 100)], [(7, b"delta")]])
def test_the_message_is_found_wherever_it_stands(before: list[tuple[int, bytes]]) -> None:
    """Behind blobs and deltas too."""
    assert commit_message(packed(*before, COMMIT)) == MESSAGE


@pytest.mark.parametrize("pack", [b"", packed((3, b"x")), packed(COMMIT)[:20], packed(COMMIT)[:13] + b"junk"])
def test_a_pack_without_a_readable_commit_has_no_message(pack: bytes) -> None:
    """No trailers are shown; nothing fails."""
    assert commit_message(pack) == "" or commit_message(pack) in MESSAGE


def test_trailers_are_the_last_paragraph_if_all_of_it_is() -> None:
    """A subject with a colon is no trailer."""
    assert trailers(MESSAGE) == ["Moot-Task: t-1", "Moot-Agent: dev-1"]
    assert trailers("fix: it") == []
    assert trailers("Subject\n\nsome words\nKey: value") == []

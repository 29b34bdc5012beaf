"""What linters wrote, of base and of a candidate, read as what is new."""

from folkmoot.orchestrator.linting import fresh, linted


def said(side: str, tool: str, *lines: str) -> str:
    return "".join(f"{line}\n" for line in (f"# {side} {tool}", *lines))


def found(filename: str, code: str | None) -> str:
    quoted = "null" if code is None else f'"{code}"'
    return f'{{"filename":"{filename}","code":{quoted}}}'


def test_only_what_is_new_counts() -> None:
    """By rule and file: what moved within a file is not new, one more of the same rule is."""
    base = said("base", "ruff", found("/tmp/base/a.py", "F401"), found("/tmp/base/b.py", "F821"))
    mine = [found("/workspace/a.py", "F401"), found("/workspace/a.py", "F401"), found("/workspace/b.py", "F821")]
    report = base + said("base", "gofmt", "./a.go") + said("candidate", "ruff", *mine, found("/workspace/c.py", None))
    assert fresh((report + said("candidate", "gofmt", "./a.go", "./b.go")).encode()) == {"ruff": 2, "gofmt": 1}


def test_what_cannot_be_read_is_no_finding() -> None:
    """Nor is anything before the first head."""
    report = found("x.py", "F401") + "\n" + said("candidate", "ruff", "warning: odd", "{}", '{"filename": 1}')
    assert fresh(report.encode() + b"\xff\n") == {}


def test_which_files() -> None:
    """Those that there is a linter for."""
    assert linted(["a.py", "b.pyc", "c.go", "d.js"]) == ["a.py", "c.go"]

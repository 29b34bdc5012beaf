"""Runs pytest and seals its report. Its text runs inside the sandbox, by `python -c`, before any code of a repository.

The first line of standard input is a secret. The report gets one more line: an HMAC, by that secret, of all before it,
and of what was changed in the runner's own code while tests ran. A report that the product's code writes, or changes
when the process ends, has no such line; nor has that of a process that ends early. A careful forger can still find
the secret in the memory that he shares with us: this closes what is cheap.
"""

import hmac
import os
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType

import _pytest
import pytest
from _pytest.runner import call_and_report

Look = dict[str, object]
_ROOT = os.getcwd()  # noqa: PTH109
_TOLD = 20
_RUNNER = ("pytest", "_pytest", "pluggy")
_HOME = os.path.join(os.path.dirname(_pytest.__file__), "")  # noqa: PTH118, PTH120 - as few modules as can be


class Canary(pytest.Item):
    """Fails, unless somebody sees to it that nothing does."""

    def runtest(self) -> None:
        raise AssertionError("on purpose")

    def reportinfo(self) -> tuple[os.PathLike[str], None, str]:
        return self.path, None, self.name


class Watch:
    """A plugin: what the runner's code is before anything of the repository is loaded, and what it is in the end."""

    def __init__(self) -> None:
        self.before: Look = {}
        self.changed = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        self.before = look()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        after = look()
        changed = sorted(n for n, code in self.before.items() if after.get(n) is not code and not _own(after.get(n)))
        said = [f"{name} was changed while tests ran" for name in changed] + _sings(session) + _equals_all()
        self.changed = "; ".join(said[:_TOLD]) + (f"; and {len(said) - _TOLD} more" if said[_TOLD:] else "")


def _own(code: object) -> bool:
    """Whether it comes from the runner's own files: some of its plugins change others."""
    return str(getattr(code, "co_filename", "")).startswith(_HOME)


def look() -> Look:
    """Functions by name: their code objects, or themselves where they have none."""
    found: Look = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and (name.partition(".")[0] in _RUNNER or name == "unittest.case"):
            found |= {f"{name}.{where}": getattr(f, "__code__", f) for where, f in _functions(module)}
    return found


def _functions(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name, value in list(vars(module).items()):
        if isinstance(value, FunctionType):
            yield name, value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            yield from ((f"{name}.{k}", f) for k, v in list(vars(value).items()) if callable(f := _inner(v)))


def _inner(value: object) -> object:
    """Of what a class holds: the function that is called in the end."""
    return value.fget if isinstance(value, property) else getattr(value, "__func__", value)


def _sings(session: pytest.Session) -> list[str]:
    """What is wrong with a test that fails and is reported otherwise. Hooks of base's own may not be made for it."""
    try:
        report = call_and_report(Canary.from_parent(session, name="canary"), "call", log=False)
    except Exception:  # noqa: BLE001 - whatever base's own hooks raise
        return []
    return ["a test that fails is reported as passed"] if report.passed else []


def _equals_all() -> list[str]:
    """Classes of the product whose instances are equal to an object that nobody has ever seen."""
    return sorted({f"{cls.__module__}.{cls.__qualname__} is equal to everything" for cls in _classes() if _equals(cls)})


def _classes() -> Iterator[type[object]]:
    """All that there are."""
    seen, open_ = {id(object)}, [object]
    while open_:
        fresh = [below for below in type.__subclasses__(open_.pop()) if id(below) not in seen]
        seen |= {id(below) for below in fresh}
        open_ += fresh
        yield from fresh


def _equals(cls: type[object]) -> bool:
    """Without its `__init__`: who looks at what he compares with gets to an error, or to a difference."""
    try:
        if cls.__eq__ is object.__eq__ or not _at_home(cls):
            return False
        said = cls.__eq__(cls.__new__(cls), object())
        return said is not NotImplemented and bool(said)
    except Exception:  # noqa: BLE001 - whatever the product's own code raises
        return False


def _at_home(cls: type[object]) -> bool:
    """Whether it is of the repository, and no helper of its tests."""
    path = os.path.relpath(str(getattr(sys.modules.get(cls.__module__), "__file__", None) or os.sep), _ROOT)
    parts = path.split(os.sep)  # noqa: PTH206
    return parts[0] != os.pardir and not any(part.startswith(("test", "conftest")) for part in parts)


def main() -> int:
    secret = sys.stdin.buffer.readline().strip()
    os.environ.pop("FOLKMOOT_PYTEST", None)  # noqa: TID251 - of the sandbox, where no setting is
    report = next((a.partition("=")[2] for a in sys.argv if a.startswith("--junitxml=")), "")
    path, watch, sign = os.path.abspath(report), Watch(), hmac.new  # noqa: PTH100
    sys.path.insert(0, os.getcwd())  # noqa: PTH109
    code = pytest.main(plugins=[watch])
    if os.path.exists(path):  # noqa: PTH110
        with open(path, "rb+") as file:  # noqa: PTH123
            line = b"\n<!--moot " + watch.changed.encode() + b"|"
            file.write(line + sign(secret, file.read() + line, "sha256").hexdigest().encode() + b"-->\n")
    sys.stdout.flush()
    return int(code)


if __name__ == "__main__":
    sys.exit(main())

"""Which files are tests, which steer a run of tests, which are base's alone, and what else is worth saying. Pure."""

import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

import pathspec

from folkmoot.runner.border.entries import EXECUTABLE, LINK, Entry, shown

TESTS = (
    "test_*.py", "*_test.py", "*_test.go",
    "*.test.js", "*.test.mjs", "*.test.cjs", "*.test.ts", "*.test.tsx", "*.test.jsx",
    "*.spec.js", "*.spec.mjs", "*.spec.cjs", "*.spec.ts", "*.spec.tsx", "*.spec.jsx",
    "*-test.js", "*-test.mjs", "*-test.cjs", "*_test.js", "*_test.mjs", "*_test.cjs",
    "**/tests/**", "/test/**", "**/__tests__/**", "**/testdata/**",
)  # fmt: skip
_CONFIGURATION = (
    "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "noxfile.py",
    ".coveragerc", "jest.config.*", "vitest.config.*", ".mocharc*",
)  # fmt: skip
_STARTUP = (
    "sitecustomize.py", "usercustomize.py", "*.pth", "*.dist-info", "*.egg-info", ".npmrc", ".yarnrc", ".yarnrc.yml",
    ".pnpmfile.cjs", ".pnp.*",
)  # fmt: skip
"""What interpreters, runners and package managers read, or import, before what they were asked to."""
_COMPILED = ("__pycache__/", "*.pyc", "*.pyo")
"""Python may run it instead of the source that a person reads."""
_CI = (
    "/.github/**", "/.gitlab-ci.yml", "/.gitlab/**", "/.circleci/**", "/.travis.yml", "/azure-pipelines.yml",
    "/Jenkinsfile", "/.drone.yml", "/.woodpecker*", "/.buildkite/**", "/bitbucket-pipelines.yml", "/appveyor.yml",
    "/.ci/**", "/.forgejo/**", "/.gitea/**",
)  # fmt: skip
LOCKS = (
    "uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "requirements.lock", "go.sum",
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "Cargo.lock",
)  # fmt: skip
STEERING = (*_CONFIGURATION, *_STARTUP, *_COMPILED)
"""What steers a run of tests wherever it lies. A candidate's own never take part in an examination."""
PROTECTED = (*TESTS, *STEERING, "/.moot.toml", *_CI, *LOCKS)
"""Of base: gitignore-style, before what the repository adds."""

_HOOKS = ("/.husky/**", "/.githooks/**", "/.hooks/**", "**/hooks/pre-*", ".pre-commit-config.yaml", "lefthook.y*ml")
_WORKPLACE = (".envrc", ".vscode/**", ".idea/**")


Spec = pathspec.GitIgnoreSpec


def matcher(patterns: Sequence[str]) -> Spec:
    return pathspec.GitIgnoreSpec.from_lines(patterns)


def matches(spec: Spec, path: bytes) -> bool:
    return spec.match_file(path.decode("utf-8", "surrogateescape"))


_KINDS = (
    (matcher(_HOOKS), "a hook"),
    (matcher((*_STARTUP, *_WORKPLACE)), "a start-up file"),
    (matcher(_CI), "a CI file"),
    (matcher(_COMPILED), "compiled Python"),
    (matcher(_CONFIGURATION), "test configuration"),
    (matcher(LOCKS), "a lock file"),
    (matcher((".gitattributes",)), "git attributes"),
    (matcher((".gitignore",)), "ignore rules"),
)
"""Gravest first."""
_TEST_FILES = matcher(TESTS)
_STEERS = matcher(STEERING)


def steers(path: bytes) -> bool:
    """Whether it is of `STEERING`. Python looks for metadata of packages in any case."""
    return matches(_STEERS, path) or matches(_STEERS, path.lower())


def flags(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Lesser findings in words, one of each kind, the gravest first: many small ones cannot hide a grave one."""
    found: dict[tuple[int, str], list[str]] = {}
    for entry in entries:
        for finding in _findings(entry):
            found.setdefault(finding, []).append(shown(entry.path)[:200])
    return tuple(f"{what}: {_first_of(paths)}" for (_, what), paths in sorted(found.items()))


def _findings(entry: Entry) -> list[tuple[int, str]]:
    """How grave (0 is gravest), and what."""
    verb = {"A": "adds", "D": "deletes"}.get(entry.operation, "changes")
    found = [(i, f"{verb} {name}") for i, (spec, name) in enumerate(_KINDS) if matches(spec, entry.path)]
    others = (
        (entry.added and _invisible(entry.path), "adds a name with invisible characters"),
        (entry.new_mode == LINK, f"{verb} a symbolic link"),
        (entry.new_mode == EXECUTABLE and entry.old_mode != EXECUTABLE, "makes executable"),
    )
    return found + [(len(_KINDS) + i, what) for i, (holds, what) in enumerate(others) if holds]


def _first_of(paths: Sequence[str]) -> str:
    return paths[0] + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _invisible(path: bytes) -> bool:
    return any(unicodedata.category(c) in {"Cf", "Zl", "Zp"} for c in path.decode("utf-8", "surrogateescape"))


def is_test(path: bytes) -> bool:
    return matches(_TEST_FILES, path) and not PurePosixPath(shown(path)).name.startswith("conftest")

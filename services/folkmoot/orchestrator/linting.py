"""What linters find in the files that a candidate changed, and did not find there at base.

They read and run nothing: no plugin, no configuration of the repository, no word of a candidate's that silences them.
"""

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from folkmoot.kernel.deliberation import LINTED

TIMEOUT_S = 60.0

_SCRIPT = """base=$1
shift
export GIT_INDEX_FILE=/tmp/index
mkdir /tmp/base || exit 2
git --literal-pathspecs ls-tree -r -z --name-only "$base" -- "$@" >/tmp/names || exit 2
if [ -s /tmp/names ]; then
  git --literal-pathspecs --work-tree=/tmp/base checkout -q -f "$base" --pathspec-from-file=/tmp/names \
    --pathspec-file-nul || exit 2
fi
python() {
  for path do shift; case "$path" in *.py) if [ -f "$path" ]; then set -- "$@" "./$path"; fi ;; esac; done
  if [ $# -gt 0 ] && command -v ruff >/dev/null; then
    ruff check --quiet --isolated --no-cache --ignore-noqa --exit-zero --select E9,F --output-format json-lines -- "$@"
  fi
}
go() {
  for path do shift; case "$path" in *.go) if [ -f "$path" ]; then set -- "$@" "./$path"; fi ;; esac; done
  if [ $# -gt 0 ] && command -v gofmt >/dev/null; then gofmt -l -- "$@"; fi
}
for side in base candidate; do
  if [ "$side" = base ]; then cd /tmp/base; else cd /workspace; fi
  echo "# $side ruff"
  python "$@"
  echo "# $side gofmt"
  go "$@"
done
"""
_HEAD = re.compile(r"# (base|candidate) (ruff|gofmt)")


class _Finding(msgspec.Struct):
    filename: str
    code: str | None = None


_decode = msgspec.json.Decoder(_Finding).decode
_Findings = Counter[tuple[str, str, str]]
"""By tool, file and rule."""


def linted(files: Sequence[str]) -> list[str]:
    """Those that there is a linter for."""
    return [path for path in files if path.endswith(LINTED)]


def command(base: str, files: Sequence[str]) -> list[str]:
    """argv, at the root of a workspace with the candidate in it."""
    return ["sh", "-c", _SCRIPT, "lint", base, *files]


def fresh(stdout: bytes) -> dict[str, int]:
    """Findings that base has not, by tool, in what `command` wrote: of each rule in each file, how many more."""
    found: dict[str, _Findings] = {"base": Counter(), "candidate": Counter()}
    side, tool = "", ""
    for line in stdout.decode("utf-8", "replace").splitlines():
        if head := _HEAD.fullmatch(line):
            side, tool = head[1], head[2]
        elif side and (finding := _finding(tool, line)):
            found[side][finding] += 1
    counts: dict[str, int] = {}
    for (name, _, _), number in (found["candidate"] - found["base"]).items():
        counts[name] = counts.get(name, 0) + number
    return counts


def _finding(tool: str, line: str) -> tuple[str, str, str] | None:
    if tool == "gofmt":
        return tool, line, "layout"
    try:
        said = _decode(line)
    except msgspec.MsgspecError:
        return None
    return tool, _within(said.filename), said.code or "syntax"


def _within(filename: str) -> str:
    """The linter names files from the root of its sandbox."""
    return filename.removeprefix("/tmp/base/").removeprefix("/workspace/")  # noqa: S108 -- inside

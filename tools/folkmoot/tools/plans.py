"""What each tool does, as a plan of workspace commands. No I/O here: the toolbox carries plans out."""

import math
import shlex

from folkmoot.kernel.evidence import CommandEnd
from folkmoot.runtime.workspace.port import Completed
from folkmoot.tools import arguments as args
from folkmoot.tools.answer import Answer, Execute, ListPaths, Plan, Read, Setting, Write, failed
from folkmoot.tools.edit import NoEdit, edited
from folkmoot.tools.text import readable

REPORT = "/tmp/folkmoot-report"  # noqa: S108 -- inside the sandbox, whose /tmp is private
SHELL = 'if command -v bash >/dev/null 2>&1; then exec bash -c "$1" 2>&1; else exec sh -c "$1" 2>&1; fi'
PROBED = 'command -v "$1" >/dev/null 2>&1 || exit 127; exec "$@"'
ABSENT = 127
NOTHING = 42
"""Exit code of `COMMITTING` when there is nothing to commit; git's own are 1, 128 and 129."""
# One script each: a command of its own would cost a sandbox.
COMMITTING = f"""git add --all || exit
git diff --cached --quiet && exit {NOTHING}
git --no-pager commit --quiet --file=- --no-verify --cleanup=whitespace || exit
git --no-pager log -1 --format='%h %s'"""


UNPACKED = 43
"""Exit code of `HANDING_IN` when all is committed, but cannot be packed, or is nothing."""
HANDING_IN = f"""git add --all || exit
git diff --cached --quiet || git commit --quiet --file=- --no-verify --cleanup=whitespace >&2 || exit
git -c core.hooksPath=/dev/null bundle create --quiet - HEAD "^$1" || exit {UNPACKED}"""
HANDING_IN_S = 110.0


def read_file(given: args.ReadFile, _setting: Setting) -> Plan:
    text = readable((yield Read(given.path)))
    lines = text.splitlines(keepends=True)
    first = given.start_line or 1
    last = min(given.end_line or len(lines), len(lines))
    if first > max(1, len(lines)):
        return failed(f"start_line: {first}, but {given.path} has {len(lines)} lines")
    if given.end_line is not None and given.end_line < first:
        return failed(f"end_line: {given.end_line} is before start_line {first}")
    facts = {"start_line": first, "end_line": last, "lines": len(lines)}
    return Answer(facts=facts, output="".join(lines[first - 1 : last]))


def write_file(given: args.WriteFile, _setting: Setting) -> Plan:
    body = given.content.encode()
    yield Write(given.path, body)
    return Answer(facts={"bytes": len(body)})


def append_file(given: args.AppendFile, _setting: Setting) -> Plan:
    body = given.content.encode()
    yield Write(given.path, body, append=True)
    return Answer(facts={"bytes": len(body)})


def edit_file(given: args.EditFile, _setting: Setting) -> Plan:
    """Bytes that are no UTF-8 stay as they are."""
    before = (yield Read(given.path)).decode("utf-8", "surrogateescape")
    try:
        after = edited(before, given.old, given.new, replace_all=bool(given.replace_all))
    except NoEdit as problem:
        return failed(str(problem))
    yield Write(given.path, after.encode("utf-8", "surrogateescape"))
    return Answer(facts={"replaced": before.count(given.old)})


def list_files(given: args.ListFiles, _setting: Setting) -> Plan:
    entries = yield ListPaths(given.path or ".", given.depth or 1)
    marks = {"dir": "/", "link": "@"}
    names = [entry.path + marks.get(entry.kind, "") for entry in entries]
    return Answer(facts={"count": len(names)}, output=readable("\n".join(names).encode("utf-8", "surrogateescape")))


def search(given: args.Search, _setting: Setting) -> Plan:
    """ripgrep; git, which is in every workspace, where there is none."""
    done = yield Execute(["sh", "-c", PROBED, "sh", *_ripgrep(given)])
    if done.end.exit_code == ABSENT:
        done = yield Execute(_git_grep(given))
    if done.end.exit_code == 1 and not done.stdout:
        return Answer(facts={"matches": 0}, output="")
    if done.end.exit_code != 0:
        return failed(_why(done))
    found = "".join(line.removeprefix("./") for line in readable(done.stdout).splitlines(keepends=True))
    return Answer(facts={"matches": len(found.splitlines())}, output=found)


def _ripgrep(given: args.Search) -> list[str]:
    globs = ["--glob", given.glob] if given.glob else []
    flags = ["--no-config", "--line-number", "--no-heading", "--with-filename", "--color=never", "--sort=path"]
    flags += ["--hidden", "--max-columns=500", "--max-columns-preview", "--glob", "!.git"]
    return ["rg", *flags, *globs, "-e", given.pattern, "--", given.path or "."]


def _git_grep(given: args.Search) -> list[str]:
    where = given.path or "."
    inside = where if where == "." else f":(literal){where}"
    if given.glob:
        prefix = "" if where == "." else where.rstrip("/") + "/"
        inside = f":(glob){prefix}**/{given.glob}"
    return ["git", "--no-pager", "grep", "-nIE", "--untracked", "--no-color", "-e", given.pattern, "--", inside]


def run(given: args.Run, setting: Setting) -> Plan:
    done = yield _shell(given.command, given.timeout_s or setting.timeout_s)
    return _ended(done)


def run_tests(given: args.RunTests, setting: Setting) -> Plan:
    if setting.suite is None:
        return failed("no tests were found in this repository; use run")
    targets = " ".join(shlex.quote(target) for target in given.targets or [])
    line = f"{setting.suite.command.replace('{report}', REPORT)} {targets}".strip()
    done = yield _shell(line, setting.suite.timeout_s)
    return _ended(done)


def git_status(_given: args.GitStatus, _setting: Setting) -> Plan:
    return _told((yield Execute(_git("status", "--short", "--branch"))))


def git_diff(given: args.GitDiff, setting: Setting) -> Plan:
    """All of the change so far, committed or not, new files too."""
    yield Execute(_git("add", "--all", "--intent-to-add"))
    only = ["--", given.path] if given.path else []
    return _told((yield Execute(_git("diff", "--no-color", "--no-ext-diff", setting.base, *only))))


def git_log(given: args.GitLog, _setting: Setting) -> Plan:
    return _told((yield Execute(_git("log", "--no-color", "--format=%h %s", f"--max-count={given.count or 20}"))))


def submit(given: args.Submit, setting: Setting) -> Plan:
    """Ends the run; a commit that fails is told, and does not. Packing that fails is told by whoever packs next."""
    if setting.document:
        return Answer(summary=given.summary)
    message = given.summary.strip().partition("\n")[0][:200] or "Work of the agent"
    made = yield Execute(
        ["sh", "-c", HANDING_IN, "submit", setting.base],
        stdin=_message(message, setting),
        timeout_s=HANDING_IN_S,
        output_limit=setting.bundle_bytes,
    )
    if not made.end.ok and made.end.exit_code != UNPACKED:
        return failed(_why(made))
    whole = made.end.ok and not made.truncated
    return Answer(summary=readable(given.summary.encode()), bundle=made.stdout if whole else None)


def commit(given: args.Commit, setting: Setting) -> Plan:
    if not given.message.strip():
        return failed("message: it is empty")
    made = yield Execute(["sh", "-c", COMMITTING], stdin=_message(given.message, setting))
    if made.end.exit_code == NOTHING:
        return failed("nothing to commit")
    return Answer(output=readable(made.stdout)) if made.end.ok else failed(_why(made))


def _message(text: str, setting: Setting) -> bytes:
    return f"{text.rstrip()}\n\nFolkmoot-Task: {setting.task_id}\nFolkmoot-Agent: {setting.agent_id}\n".encode()


def _git(*argv: str) -> list[str]:
    return ["git", "--no-pager", *argv]


def author(setting: Setting) -> dict[str, str]:
    """Environment in which git knows who commits."""
    name, mail = setting.agent_id, f"{setting.agent_id}@folkmoot.invalid"
    who = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": mail, "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": mail}
    return who | {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0"}


def _shell(line: str, timeout_s: float) -> Execute:
    return Execute(["sh", "-c", SHELL, "sh", line], timeout_s=timeout_s)


def _told(done: Completed) -> Answer:
    return Answer(output=readable(done.stdout)) if done.end.ok else failed(_why(done))


def _ended(done: Completed) -> Answer:
    """Of a command whose output matters whatever its end."""
    output = readable(done.stdout + done.stderr)
    if done.truncated:
        output += "\n[more output came; it was thrown away]"
    facts = {"exit_code": done.end.exit_code, "duration_s": round(done.end.duration_s, 3)}
    error = "" if done.end.ok else _end_in_words(done.end)
    return Answer(ok=done.end.ok, error=error, facts=facts, output=output, exit_code=done.end.exit_code)


def _end_in_words(end: CommandEnd) -> str:
    if end.limit:
        return f"ended by the {end.limit} limit after {math.ceil(end.duration_s)} s"
    if end.exit_code is None:
        return f"ended by signal {end.signal}"
    return f"exit code {end.exit_code}"


def _why(done: Completed) -> str:
    words = readable(done.stderr + done.stdout).strip()[:2_000]
    return f"{_end_in_words(done.end)}: {words}" if words else _end_in_words(done.end)

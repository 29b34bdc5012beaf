"""The two tools of a reviewer, as plans. A finding is a claim and a test that shows it; the platform runs the test."""

from folkmoot.tools import arguments as args
from folkmoot.tools.answer import Answer, Plan, Report, Setting, failed
from folkmoot.tools.text import readable

READING = ("read_file", "list_files", "search", "git_status", "git_diff", "git_log")
"""Tools that change nothing: what a reviewer has of a role's."""
REPORT = "report_finding"
FINISH = "finish_review"

MOST_FINDINGS = 8
"""Of one review."""
CONTENT_BYTES = 64 * 1024
"""Of one reproducer."""
PATH_CHARS = 250


def report_finding(given: args.ReportFinding, setting: Setting) -> Plan:
    known = setting.candidates
    proposal = known.get(given.proposal_id) or next((p for p in known.values() if p == given.proposal_id), None)
    if proposal is None:
        names = ", ".join(known) or "none"
        return failed(f"proposal_id: there is no {readable(given.proposal_id.encode())!r} to review; there are {names}")
    path, content = given.reproducer.path, given.reproducer.content
    claim = readable(given.claim.encode()).strip()
    problem = _path_problem(path) or _content_problem(content) or ("" if claim else "claim: is empty")
    if problem:
        return failed(problem)
    number = yield Report(proposal_id=proposal, claim=claim, severity=given.severity, path=path, content=content)
    return Answer(facts={"finding": number, "left": MOST_FINDINGS - number})


def finish_review(given: args.FinishReview, _setting: Setting) -> Plan:
    """Ends the run."""
    yield from ()
    return Answer(summary=readable(given.summary.encode()))


def _path_problem(path: str) -> str:
    field = "reproducer.path"
    if len(path) > PATH_CHARS:
        return f"{field}: {len(path)} characters; at most {PATH_CHARS}"
    parts = path.split("/")
    if not path.isprintable() or "\\" in path or not all(parts) or {".", ".."} & set(parts):
        return f"{field}: {path!r} is no plain path below the repository's root"
    return f"{field}: {path!r} lies in git's own folder" if parts[0].lower() == ".git" else ""


def _content_problem(content: str) -> str:
    field = "reproducer.content"
    size = len(content.encode())
    if size > CONTENT_BYTES:
        return f"{field}: {size} bytes; at most {CONTENT_BYTES}"
    return "" if content.strip() else f"{field}: is empty"

"""What one deliberation on one case left behind: all that choosers need, so that they can be tried again in seconds."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from folkmoot.kernel.facts import CandidatesRanked
from folkmoot.kernel.jury import Evidence, Policy, judge
from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import Rigor
from tests.bench.judgement.case import Case
from tests.bench.judgement.choosers import Chooser
from tests.bench.judgement.score import Choice


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One case at one rigor."""

    case: str
    rigor: Rigor
    labels: dict[str, str]
    """Of every candidate of the case, `dev-1-r2` among them."""
    tags: tuple[str, ...]
    """The case's own, its language, and `mirror`."""
    evidence: Evidence
    state: str = ""
    ruling: CandidatesRanked | None = None
    """The platform's own; absent where the evidence is computed, or no jury was asked."""
    stages: tuple[str, ...] = ()
    usage: Usage = Usage()
    wall_s: float = 0.0
    true: tuple[tuple[str, str], ...] = ()
    """Exhibit and id of the tests that are right, where that is known."""

    def label(self, proposal: str | None) -> str | None:
        return self.labels[proposal.removesuffix("-r1")] if proposal else None


def tags(case: Case) -> tuple[str, ...]:
    return (*case.tags, case.language, *(["mirror"] if case.mirror else []))


def choice(run: Run, chooser: Chooser, policy: Policy) -> Choice:
    return Choice(
        case=run.case,
        chosen=run.label(chooser(run.evidence)),
        labels=tuple(str(run.label(c.admission.proposal_id)) for c in run.evidence.candidates),
        tags=frozenset(run.tags),
        confidence=judge(run.evidence, policy).confidence or 0.0,
    )


def keep(run: Run, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    place(folder, run.case, run.rigor).write_bytes(msgspec.json.encode(run))


def place(folder: Path, case: str, rigor: Rigor) -> Path:
    return folder / f"{case}-{rigor}.json"


def kept(folder: Path, rigors: Iterable[Rigor], cases: Sequence[str]) -> Iterator[Run]:
    """Those of `cases` that lie there, in their order."""
    for rigor in rigors:
        for case in cases:
            if (file := place(folder, case, rigor)).exists():
                yield msgspec.json.decode(file.read_bytes(), type=Run)

"""One case on its way from its authors to files: what each believes decides what he writes, reports and tests."""

import random
from collections.abc import Mapping, Sequence

import msgspec

from tests.bench.judgement import testfiles
from tests.bench.judgement.authors import Author
from tests.bench.judgement.case import CHEAT, NOTHING, RIGHT, WRONG, Candidate, Case, Finding, Judge, Revision, Split
from tests.bench.judgement.cheats import cheating
from tests.bench.judgement.programs import Program, outcomes, truth
from tests.bench.judgement.testfiles import BOUND, EXISTS, Claims, own_names

TOXIC_SEALED = 0.12
"""Of the tests of a writer who saw no candidate: they fail on the right behaviour (selection.md)."""
MISTAKEN = 0.12
"""Of reviewers who believe something wrong about a candidate: they say it, instead of something that they know."""


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """A case, and what is known of it without running it."""

    case: Case
    program: Program
    texts: dict[str, str]
    """The target module by candidate, revisions included."""
    claims: dict[str, Claims]
    """By pack: `dev-1`, `dev-1-r2`, `finding dev-1 0`, `sealed 0`, `split dev-1 dev-2`."""
    cheats: dict[str, str] = {}
    """By candidate: how it cheats."""

    def outcomes(self, name: str) -> dict[str, str]:
        return outcomes(self.program, self.texts[name])


class Making:
    """One case on its way."""

    def __init__(self, program: Program, rng: random.Random, kind: str) -> None:
        self.program, self.rng, self.kind = program, rng, kind
        self.truth = truth(program)
        self.texts: dict[str, str] = {}
        self.claims: dict[str, Claims] = {}

    def case(self, name: str, authors: list[Author]) -> Drawn:
        seats = {f"dev-{i}": author for i, author in enumerate(authors, 1)}
        self.texts = {seat: self.program.solution(a.key) for seat, a in seats.items()}
        self.split_probes = self._apart([a.key for a in authors if a.label in (RIGHT, WRONG)])
        candidates = tuple(self._candidate(seat, author, seats) for seat, author in seats.items())
        case = Case(
            id=name,
            language=self.program.language,
            title=self.program.title,
            story=self.program.story.strip(),
            base=self.program.base,
            candidates=candidates,
            hidden={
                testfiles.path(self.program, "truth"): testfiles.content(
                    self.program, {p: ((p, o),) for p, o in self.truth.items()}, strict=True
                )
            },
            checks=self._checks(seats),
            sealed=tuple(self._sealed(i) for i in range(2)),
            splits=tuple(self._splits(seats)),
            judge=self._judge(),
            mirror=self.kind == "mirror",
            tags=(self.kind,),
        )
        cheats = {seat: a.cheat for seat, a in seats.items() if a.cheat}
        return Drawn(case=case, program=self.program, texts=self.texts, claims=self.claims, cheats=cheats)

    def _apart(self, keys: Sequence[str]) -> list[str]:
        """Probes that tell some of these solutions from the right one."""
        seen = [outcomes(self.program, self.program.solution(key)) for key in keys]
        return [p for p in self.program.probes if any(o[p] != self.truth[p] for o in seen)]

    def _candidate(self, seat: str, author: Author, seats: Mapping[str, Author]) -> Candidate:
        files: dict[str, str] = {self.program.target: self.texts[seat]}
        if author.label == NOTHING:
            files = {"NOTES.md": f"# Notes\n\n{self.program.title}: looked into it.\n"}
        claims = self._own_claims(seat, author, seats)
        if claims:
            self.claims[seat] = claims
            files[testfiles.path(self.program, "more")] = testfiles.content(self.program, claims)
        more, deletes = cheating(author.cheat, self.program, self.texts[seat])
        revision = self._revision(seat, author)
        return Candidate(
            name=seat,
            label=author.label,
            files=files | more,
            deletes=deletes,
            tests=author.tests,
            findings=tuple(self._findings(seat, author, seats)),
            revision=revision,
            kind=author.cheat or author.key,
        )

    def _own_claims(self, seat: str, author: Author, seats: Mapping[str, Author]) -> Claims:
        believed = outcomes(self.program, self.texts[seat])
        match author.tests:
            case "none":
                return {}
            case "vacuous":
                return self._vacuous(believed)
            case "bound":
                names = own_names(self.program, self.texts[seat], [t for s, t in self.texts.items() if s != seat])
                bound: Claims = {"parts": ((BOUND, self.rng.choice(names)),)} if names else {}
                return bound | self._vacuous(believed)
            case "mirror":
                return self._mirror_claims(seats, believed)
        probes = self._probes(self.rng.choice((5, 6, 7)))
        apart = [p for p in self.program.probes if believed[p] != self.truth[p]]
        if author.tests == "toxic":
            return self._tests(list(dict.fromkeys([self.rng.choice(apart), *probes])), believed)
        sharp = [p for p in self.split_probes if p not in apart]
        if sharp and self.rng.random() < 0.85:
            probes = list(dict.fromkeys([self.rng.choice(sharp), *probes]))
        probes = [p for p in probes if p not in apart]
        return self._tests(probes, believed)

    def _probes(self, number: int) -> list[str]:
        """What somebody would think of: what the story shows, and a few more."""
        weights = {p: (2.0 if p in self.program.shown else 1.0) for p in self.program.probes}
        names = sorted(weights, key=lambda p: self.rng.random() ** (1 / weights[p]), reverse=True)
        return names[:number]

    def _tests(self, probes: Sequence[str], believed: Mapping[str, str]) -> Claims:
        """One or two probes in a test. What cannot be compared is left out."""
        beliefs = [(p, believed[p]) for p in probes if _comparable(believed[p])]
        found: Claims = {}
        while beliefs:
            size = 2 if self.rng.random() < 0.2 else 1
            part, beliefs = tuple(beliefs[:size]), beliefs[size:]
            found[(_camel if self.program.language == "go" else "_and_".join)([p for p, _ in part])] = part
        return found

    def _vacuous(self, believed: Mapping[str, str]) -> Claims:
        same = [p for p in self.program.probes if p not in self.split_probes and believed[p] == self.truth[p]]
        claims: Claims = {("IsThere" if self.program.language == "go" else "is_there"): ((EXISTS, ""),)}
        return claims | (self._tests([self.rng.choice(same)], believed) if same else {})

    def _mirror_claims(self, seats: Mapping[str, Author], believed: Mapping[str, str]) -> Claims:
        """Each side says the same about the same: one thing in which they differ, and two in which nobody does."""
        wrong = next(a for a in seats.values() if a.tests == "mirror" and a.label == WRONG)
        other = outcomes(self.program, self.program.solution(wrong.key))
        apart = [p for p in self.program.probes if other[p] != self.truth[p] and _comparable(other[p])]
        level = [p for p in self.program.probes if p not in self.split_probes]
        return self._tests([apart[0], *level[:2]], believed)

    # --- criticism -----------------------------------------------------------------------------------------------

    def _findings(self, seat: str, author: Author, seats: Mapping[str, Author]) -> list[Finding]:
        if self.kind == "mirror":
            return []
        believed = outcomes(self.program, self.texts[seat])
        found: list[Finding] = []
        chance = {RIGHT: 0.6, WRONG: 0.45, CHEAT: 0.1, NOTHING: 0.1}[author.label]
        for other in seats:
            apart = [p for p, o in outcomes(self.program, self.texts[other]).items() if o != believed[p]]
            apart = [p for p in apart if _comparable(believed[p])]
            if other == seat or len(found) == 2 or self.rng.random() > chance:
                continue
            toxic = [p for p in apart if believed[p] != self.truth[p]]
            if toxic and self.rng.random() > MISTAKEN:
                apart = [p for p in apart if p not in toxic]
            if apart and self.rng.random() < 0.85:
                found.append(self._finding(seat, other, self.rng.choice(apart), believed, len(found)))
            elif self.rng.random() < 0.5:
                probe = self.rng.choice(list(self.program.probes))
                if _comparable(believed[probe]):
                    found.append(self._finding(seat, other, probe, believed, len(found)))
        return found

    def _finding(self, seat: str, other: str, probe: str, believed: Mapping[str, str], number: int) -> Finding:
        claims = self._tests([probe], believed)
        self.claims[f"finding {seat} {number}"] = claims
        return Finding(
            of=other,
            claim=f"It does not do what the story says about: {probe.replace('_', ' ')}.",
            path=testfiles.path(self.program, f"review{number + 1}"),
            content=testfiles.content(self.program, claims),
        )

    def _revision(self, seat: str, author: Author) -> Revision | None:
        if self.kind == "mirror" or author.label in (CHEAT, NOTHING):
            return None
        chance, rights = self.rng.random(), [f"right/{n}" for n in self.program.right]
        if author.label == WRONG and chance < 0.22 and self.kind != "none":
            key, label = self.rng.choice(rights) + "~3", RIGHT
        elif (author.label == WRONG and chance < 0.34) or (author.label == RIGHT and chance < 0.05):
            others = [n for n in self.program.wrong if f"wrong/{n}" != author.key.partition("~")[0]]
            key, label = f"wrong/{self.rng.choice(others)}~3", WRONG
        else:
            return None
        text = self.program.solution(key)
        believed = outcomes(self.program, text)
        self.texts[f"{seat}-r2"] = text
        level = [p for p in self._probes(6) if believed[p] == self.truth[p] or self.rng.random() < 0.05]
        claims = self._tests(level, believed)
        self.claims[f"{seat}-r2"] = claims
        path = testfiles.path(self.program, "more")
        return Revision(label=label, files={self.program.target: text, path: testfiles.content(self.program, claims)})

    # --- from outside --------------------------------------------------------------------------------------------

    def _checks(self, seats: Mapping[str, Author]) -> tuple[str, ...]:
        if self.rng.random() > 0.35:
            return ()
        level = [p for p in self.program.probes if p not in self.split_probes]
        names = level if self.kind == "mirror" or self.rng.random() < 0.5 else list(self.program.probes)
        self.rng.shuffle(names)
        lines = [line for p in names if (line := testfiles.check(self.program, p, self.truth[p]))]
        self.claims["checks"] = {
            line: ((p, self.truth[p]),)
            for p in names
            for line in lines[:1]
            if testfiles.check(self.program, p, self.truth[p]) == line
        }
        return tuple(lines[:1])

    def _sealed(self, number: int) -> dict[str, str]:
        probes = self._probes(6)
        if self.kind == "mirror" and self.split_probes and self.rng.random() < 0.8:
            probes = list(dict.fromkeys([self.rng.choice(self.split_probes), *probes[:5]]))
        believed = {p: self._misread(p) if self.rng.random() < TOXIC_SEALED else self.truth[p] for p in probes}
        claims = self._tests(probes, believed)
        self.claims[f"sealed {number}"] = claims
        return {testfiles.path(self.program, f"story{number + 1}"): testfiles.content(self.program, claims)}

    def _misread(self, probe: str) -> str:
        """As somebody reads the story who is wrong about this."""
        seen = [outcomes(self.program, self.program.solution(f"wrong/{n}"))[probe] for n in self.program.wrong]
        apart = [o for o in seen if o != self.truth[probe] and _comparable(o)]
        return self.rng.choice(apart) if apart else self.truth[probe]

    def _splits(self, seats: Mapping[str, Author]) -> list[Split]:
        found, seen = [], {name: outcomes(self.program, text) for name, text in self.texts.items()}
        names = sorted(seen)
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                apart = [p for p in self.program.probes if seen[one][p] != seen[other][p]]
                if apart:
                    found.append(self._split(one, other, seen, self.rng.sample(apart, min(2, len(apart)))))
        return found

    def _split(self, one: str, other: str, seen: Mapping[str, Mapping[str, str]], probes: Sequence[str]) -> Split:
        believed = {}
        for p in probes:
            either = seen[self.rng.choice((one, other))][p]
            wrong = self.rng.random() < 0.15 and _comparable(either)
            believed[p] = either if wrong else self.truth[p]
        claims = self._tests(list(probes), believed)
        self.claims[f"split {one} {other}"] = claims
        files = {testfiles.path(self.program, "split"): testfiles.content(self.program, claims)}
        return Split(pair=(one, other), files=files)

    def _judge(self) -> Judge:
        """Of three kinds: a good one, a middling one, and one who looks at the order."""
        return self.rng.choice((Judge(right=0.75, first=0.1, tie=0.1), Judge(), Judge(right=0.4, first=0.4, tie=0.1)))


def _comparable(outcome: str) -> bool:
    """Go has no test for what does not build; addresses never come again."""
    return outcome != "! build" and outcome != "*" and " at>" not in outcome


def _camel(names: Sequence[str]) -> str:
    return "And".join(names)

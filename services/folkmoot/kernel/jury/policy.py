"""The numbers of the jury and of the protocol, as versioned data: `policies/<version>.toml`, or somebody else's file.

Every ruling names the version by which it was made. What ships never changes: other numbers get another version.
"""

import math
from importlib.resources import files
from typing import Annotated

import msgspec

from folkmoot.kernel.errors import BrokenChain, InvalidInput
from folkmoot.kernel.task import Rigor

Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Ratio = Annotated[float, msgspec.Meta(gt=0, le=1000)]
"""How many times likelier something is: odds are multiplied by it."""
Count = Annotated[int, msgspec.Meta(ge=0, le=16)]


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rigor does, and asks for."""

    threshold: Share
    """Least confidence for a decision."""
    enough: Share = 1.0
    """At this confidence nothing more is done."""
    cross_examine: bool = False
    """Every new test is run on base and on every candidate."""
    probe: bool = False
    """So are calls that no test makes: where tests of proposals, in Python, show arguments."""
    critique: bool = False
    """Peers review, with reproducers."""
    revisions: Count = 0
    """Rounds, at most."""
    reruns: Count = 0
    """Further runs of each exhibit whose cells decide."""
    sealed: Count = 0
    """Writers of tests that see no candidate."""
    split: Count = 0
    """Writers of tests that see two survivors: so many times, at most."""
    judge_pairs: Count = 0
    """Pairs that a model judges, at most."""


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of opinions, each an author with all his tests. In a duel of two classes, the ratio by which one voice moves the
    odds; for a class alone, by which it is likelier (`kept`) or less likely (`broken`) to be right."""

    own: Ratio
    """For a class that the author has a change in: all such authors together, one opinion."""
    contested: Ratio
    """Against a class whose authors contradict those of another that is level with it, and are contradicted."""
    third: Ratio
    """Of an author with a change in neither."""
    against: Ratio
    """Against a class that the author has a change in."""
    moved: Ratio
    """Of an author who saw the evidence and left one class for the other."""
    blind: Ratio
    """Of a writer who saw no candidate, or two without names."""
    unreached: Share
    """Part of the log-odds that counts where no assertion fails: the test does not get that far, or never ends."""
    verdict: Ratio
    """Of a judge whose answer is the same in both orders."""
    kept: Ratio
    """Passes all tests of an author elsewhere that tell something."""
    broken: Ratio
    """Fails such a test that others than its author pass."""
    blind_kept: Ratio
    """The same of a writer who saw no candidate."""
    blind_broken: Ratio
    gates: Share
    """Part that counts of the log-odds from the gates: all that are weighed here pass them."""
    rivals: Annotated[float, msgspec.Meta(ge=0, le=10)]
    """Times the logarithm of what the other classes take."""
    agree: Ratio
    """Each further different change of the same behaviour, up to `peers`."""
    probed: Ratio = 1.0
    """In a duel, where most of the others give what the one gives, in calls of which the two differ."""
    outvoted: Ratio = 1.0
    """Somewhere others agree with each other, and nobody with this one."""
    upheld: Ratio = 1.0
    """Nowhere, though there are enough others."""
    weighed: Ratio = 1.0
    """Of a class that is weighed, before anything is said of it: it passes the gates, and its tests could be heard."""
    late: Ratio = 1.0
    """Against a behaviour that nobody had before he saw the evidence: what it passes, it was shown. In a duel with one
    that somebody had, and alone."""
    disowned: Ratio = 1.0
    """Against a class that fails a test of its own authors which another passes."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Probabilities are of being right; ratios multiply odds. The files say where each number is from."""

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    repository: str = ""
    """The one that its numbers were learned from, path or URL as tasks name it; empty: none in particular."""
    guarded: Probability
    """Of a change that keeps base's tests."""
    unguarded: Probability
    """Of a change where nothing passes at base."""
    first_check: Ratio
    """A check that fails at base and passes here."""
    further_check: Ratio
    """Each one more, up to `further_checks`."""
    further_checks: Count
    repaired: Ratio
    """At least one test of base that always failed there passes here."""
    peer: Ratio
    """Each other agent with the same change, up to `peers`."""
    peers: Count
    level: Annotated[float, msgspec.Meta(ge=0, le=10)]
    """Times the logarithm of the number of different changes that evidence leaves level: they share the odds."""
    weak: Share
    """Below it an answer is called weakly supported."""
    profile: dict[Rigor, Profile]
    finding_files: Count = 0
    """Cost of a new finding of a linter, in files."""
    outside_files: Count = 0
    """Further cost of a file outside what the story is about."""
    asks: bool = False
    """A test of base that all otherwise good candidates fail is a question."""
    weights: Weights | None = None
    """None: tests of candidates are no evidence."""

    def __post_init__(self) -> None:
        if unnamed := [str(r) for r in Rigor if r not in self.profile]:
            raise ValueError(f"no profile for {', '.join(unnamed)}")

    @property
    def probing(self) -> bool:
        """Calls that no test makes tell behaviours apart."""
        return any(p.probe for p in self.profile.values())


def policy_from(data: bytes) -> Policy:
    """A policy file's content, TOML. Raises InvalidInput, naming the field."""
    try:
        return msgspec.toml.decode(data, type=Policy)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise InvalidInput("policy", str(e)) from None


def shipped(version: str) -> Policy:
    """Raises InvalidInput where no such version ships."""
    return policy_from(shipped_file(version).encode())


def shipped_file(version: str) -> str:
    """As it ships, with where each number is from. Raises InvalidInput."""
    if version not in VERSIONS:
        raise InvalidInput("policy", f"no version {version!r}: there are {', '.join(VERSIONS)}")
    return files(__package__).joinpath("policies", f"{version}.toml").read_text("utf-8")


def ships(policy: Policy) -> bool:
    """All numbers of it, by that version."""
    return policy.version in VERSIONS and policy == shipped(policy.version)


def policy_of(stored: bytes) -> Policy:
    """As a decision's log has it, JSON. Raises BrokenChain."""
    try:
        return msgspec.json.decode(stored, type=Policy)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BrokenChain(f"the log has no policy where it should: {error}") from error


VERSIONS = ("1", "2", "3", "4")
POLICY = shipped(VERSIONS[-1])


def log_odds(probability: float) -> float:
    """Natural logarithm of p : 1 - p."""
    return math.log(probability / (1 - probability))

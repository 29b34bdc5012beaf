"""Which image a base's workspaces have: the installation's, or another that it allows. Pure."""

from collections.abc import Mapping

import msgspec

from folkmoot.kernel.errors import FailedPrecondition, InvalidInput
from folkmoot.runner.environment.hosts import listed
from folkmoot.runner.environment.wanted import Wanted
from folkmoot.runner.kubernetes.plan import by_digest


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """Of one installation."""

    plain: frozenset[str] = frozenset()
    """By digest."""
    sets: Mapping[str, str] = {}
    """Of library sets, by `set` or `set-version`."""

    def chosen(self, wanted: Wanted) -> str:
        """By digest; empty: the installation's own. Raises FailedPrecondition("environment")."""
        config = wanted.config
        if config.digest:
            if config.digest in self.plain or config.digest in self.sets.values():
                return config.digest
            raise _not_allowed(f"environment.image asks for {config.digest}")
        named = "-".join(filter(None, config.library))
        if not named or named == "base":
            return ""
        if named not in self.sets:
            raise _not_allowed(f"base asks for the library set {named}")
        return self.sets[named]


def images(text: str) -> Images:
    """From the setting. Raises InvalidInput naming it."""
    plain, sets = set(), dict[str, str]()
    for part in listed(text):
        name, equal, image = part.partition("=")
        reference = image if equal else part
        if not by_digest(reference):
            raise InvalidInput("kubernetes.images", f"{part!r} names no digest: a tag may become another image")
        if equal:
            sets[name] = reference
        else:
            plain.add(reference)
    return Images(plain=frozenset(plain), sets=sets)


def _not_allowed(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        "environment", f"{what}, which this installation does not allow: FOLKMOOT_KUBERNETES_IMAGES"
    )

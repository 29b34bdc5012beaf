"""Where a set-up may connect to: names with ports, compared as a whole; and which addresses a name may have. Pure.

No patterns and no suffixes: policies by parts of host names have been got around again and again. An empty list allows
nothing.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable

import msgspec

HTTPS = 443
ANY = "*"
"""In the installation's list: any public host."""
_NAME = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?)*"
)
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|\d+)")
"""As the last part of a name: what takes such a name for an address connects to that."""


class Host(msgspec.Struct, frozen=True, order=True):
    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"


def parsed(text: str) -> Host:
    """`host` or `host:port`; without a port it is that of HTTPS. Raises ValueError in words."""
    name, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65_536):
        raise ValueError(f"{text[:100]!r} is not as host or host:port")
    return Host(checked(name), int(port) if colon else HTTPS)


def checked(name: str) -> str:
    """In lower case. Raises ValueError in words: addresses, patterns and what else is no plain host name."""
    lower = name.lower()
    if not _NAME.fullmatch(lower):
        raise ValueError(f"{name[:100]!r} is no plain host name")
    if _NUMBER.fullmatch(lower.rpartition(".")[2]):
        raise ValueError(f"{name[:100]!r} is an address: hosts are named")
    return lower


def problem(text: str) -> str:
    """What is wrong with it; empty: nothing."""
    try:
        parsed(text)
    except ValueError as error:
        return str(error)
    return ""


def listed(text: str) -> list[str]:
    """Parts of a setting that are separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Of one installation."""

    most: frozenset[Host] = frozenset()
    """The hosts that a set-up has by default, and that a repository may choose from."""
    anywhere: bool = False
    """A repository may name any public host besides."""
    private: frozenset[str] = frozenset()
    """Names that may have an address that is not public."""

    @classmethod
    def of(cls, allowed: str, private: str) -> "Policy":
        """From the settings. Raises ValueError in words."""
        parts = listed(allowed)
        return cls(
            most=frozenset(parsed(part) for part in parts if part != ANY),
            anywhere=ANY in parts,
            private=frozenset(checked(part) for part in listed(private)),
        )

    def granted(self, asked: Collection[str] | None) -> frozenset[Host]:
        """Raises ValueError naming a host that this installation does not allow."""
        if asked is None:
            return self.most
        wanted = frozenset(map(parsed, asked))
        refused = sorted(wanted - self.most)
        if refused and not self.anywhere:
            raise ValueError(", ".join(map(str, refused)))
        return wanted


def public(addresses: Iterable[str]) -> bool:
    """Whether all of them are of the public Internet, and there is one."""
    found = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]
    return bool(found) and all(map(_public, found))


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return False
        if address in _TRANSLATED:
            return False
    return address.is_global and not address.is_multicast


_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""NAT64: some IPv4 address, which may be anything."""

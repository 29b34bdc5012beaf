"""Where a repository comes from: which paths and URLs we fetch from, and how, and what went wrong in words.

A local path is a stranger's repository: the `upload-pack` that reads it gets a configuration of ours, may use no
transport of its own, and runs no hook.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import RepositoryId, derived
from folkmoot.runtime.settings import inherited

_FIELD = "repository"
_SCP = re.compile(r"(?:[A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:[^:/\s-][^\s]*")
_HOST = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9.:\[\]-]*")

_UPLOAD_PACK = (
    "GIT_ALLOW_PROTOCOL=none GIT_NO_LAZY_FETCH=1 git -c safe.directory=* -c core.hooksPath=/dev/null"
    " -c core.fsmonitor=false -c uploadpack.allowAnySHA1InWant=true upload-pack"
)
"""Run through a shell by git. No protocol at all: a partial clone's missing objects are not fetched from anywhere."""

_NETWORK = ("SSH_AUTH_SOCK", "http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A repository that may be fetched from."""

    id: RepositoryId
    address: str
    """What git gets: an absolute path, or a URL."""
    config: tuple[str, ...]
    options: tuple[str, ...] = ()
    """Of `ls-remote` and `fetch`."""
    local: bool

    def environment(self) -> Mapping[str, str]:
        if self.local:
            return {}
        ssh = "ssh -oBatchMode=yes -oConnectTimeout=20 -oStrictHostKeyChecking=yes -oForwardAgent=no"
        return {**inherited(*_NETWORK), "GIT_SSH_COMMAND": ssh, "GIT_ASKPASS": "/bin/false"}


def origin_of(repository: str) -> Origin:
    """Raises InvalidInput("repository", …) for what is neither an absolute path of a git repository nor a good URL."""
    if repository.startswith("-") or (not repository.isprintable() and "://" in repository) or "\0" in repository:
        raise InvalidInput(_FIELD, f"{repository[:200]!r} is neither a path nor a URL")
    if repository.startswith("file://"):
        return _local(Path(unquote(urlsplit(repository).path)))
    if "::" in repository.split("/", 1)[0]:
        raise InvalidInput(_FIELD, "remote helpers (`name::address`) are refused; give a path or an http(s) or ssh URL")
    if "://" in repository:
        return _url(repository)
    if _SCP.fullmatch(repository) and not repository.startswith("/"):
        return _network(repository, "ssh")
    return _local(Path(repository))


def explained(complaint: str, origin: Origin) -> InvalidInput:
    """What git said of an origin, as an error for the caller."""
    where = _public(origin.address)
    for pattern, words in _COMPLAINTS:
        if re.search(pattern, complaint, re.IGNORECASE):
            return InvalidInput(_FIELD, f"{where} {words}")
    said = next((x for x in reversed(complaint.splitlines()) if x.strip()), "no reason given")
    return InvalidInput(_FIELD, f"git cannot read {where}: {''.join(c for c in said if c.isprintable())[:200]}")


_AUTHENTICATION = (
    r"could not read (username|password)|authentication failed|permission denied \(|terminal prompts disabled"
    r"|returned error: (401|403)|askpass|host key verification failed"
)
_UNREACHABLE = (
    r"couldn.t resolve|could not resolve|failed to connect|connection refused|timed out|no route to host"
    r"|network is unreachable|couldn.t connect|connection (was )?reset|empty reply|returned error: 5|too slow"
)
_COMPLAINTS = (
    (r"no end after ([\d.]+) s", "did not answer in time"),
    (_AUTHENTICATION, "asks for credentials that the runner does not have"),
    (
        r"returned error: 404|repository .*not found",
        "does not exist, or needs credentials that the runner does not have",
    ),
    (_UNREACHABLE, "cannot be reached"),
    (r"not valid: is this a git repository|does not appear to be a git repo|not a git repo", "is not a git repository"),
    (r"transport '.*' not allowed", "is of a kind that is refused"),
    (r"could not read from remote", "cannot be read: no such repository, or no right to read it"),
)


def _public(address: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in address)[:300]


def _url(repository: str) -> Origin:
    try:
        parts = urlsplit(repository)
        _ = parts.port
    except ValueError as error:
        raise InvalidInput(_FIELD, f"is no URL: {error}") from error
    if parts.scheme not in {"http", "https", "ssh"}:
        raise InvalidInput(_FIELD, f"{parts.scheme!r} URLs are refused; use http, https, ssh, file, or a path")
    if parts.password is not None or (parts.username and parts.scheme != "ssh"):
        raise InvalidInput(_FIELD, "the URL holds credentials, which would be kept in the log; remove them")
    if not _HOST.fullmatch(parts.hostname or "") or (parts.username or "").startswith("-"):
        raise InvalidInput(_FIELD, "the URL has no good host name")
    return _network(repository, parts.scheme)


def _network(address: str, scheme: str) -> Origin:
    config = (f"protocol.{scheme}.allow=always", "http.followRedirects=initial", "http.lowSpeedLimit=100")
    return Origin(
        id=RepositoryId(derived("repo", "url", address.rstrip("/"))),
        address=address,
        config=(*config, "http.lowSpeedTime=30", "credential.helper="),
        local=False,
    )


def _local(path: Path) -> Origin:
    if not path.is_absolute():
        raise InvalidInput(_FIELD, f"{str(path)!r} is a relative path; give an absolute one, or a URL")
    try:
        root = _root(path.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise InvalidInput(_FIELD, f"{str(path)[:200]} cannot be read: {error}") from error
    return Origin(
        id=RepositoryId(derived("repo", "path", str(root).encode("utf-8", "backslashreplace").decode())),
        address=str(root),
        config=("protocol.file.allow=always",),
        options=(f"--upload-pack={_UPLOAD_PACK}",),
        local=True,
    )


def _root(path: Path) -> Path:
    """The repository that `path` is, or lies in."""
    if not path.exists():
        raise InvalidInput(_FIELD, f"there is no folder {path}")
    if not path.is_dir():
        raise InvalidInput(_FIELD, f"{path} is no folder")
    for folder in (path, *path.parents):
        if (folder / ".git").exists() or _is_bare(folder):
            return folder
    raise InvalidInput(_FIELD, f"{path} is not a git repository, and lies in none")


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()

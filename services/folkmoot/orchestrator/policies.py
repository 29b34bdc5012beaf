"""The files with the jury's numbers that a platform decides by."""

from pathlib import Path

import msgspec

from folkmoot.kernel.errors import InvalidInput, Misconfigured
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.jury.policy import POLICY, Policy, policy_from, ships
from folkmoot.runtime.log.port import Artifacts


def of_all(path: str) -> Policy:
    """Of the file, or the newest that ships. Raises Misconfigured."""
    return _read("orchestrator.policy", Path(path)) if path else POLICY


def by_repository(folder: str) -> dict[str, Policy]:
    """Of the files `*.toml` in the folder. Raises Misconfigured, also for one that names no repository, or the same as
    another does."""
    if not folder:
        return {}
    field = "orchestrator.policies"
    if not Path(folder).is_dir():
        raise Misconfigured(f"{field}: {folder} is no folder")
    found: dict[str, Policy] = {}
    for file in sorted(Path(folder).glob("*.toml")):
        policy = _read(field, file)
        if not policy.repository:
            raise Misconfigured(f"{field}: {file} names no `repository`")
        if policy.repository in found:
            raise Misconfigured(f"{field}: {file} is the second policy for {policy.repository}")
        found[policy.repository] = policy
    return found


async def kept(policy: Policy, artifacts: Artifacts) -> ArtifactRef | None:
    """Where a log has what it was decided by, for a replay; None for what ships."""
    return None if ships(policy) else await artifacts.put(msgspec.json.encode(policy, order="deterministic"))


def _read(field: str, file: Path) -> Policy:
    try:
        return policy_from(file.read_bytes())
    except (OSError, InvalidInput) as error:
        raise Misconfigured(f"{field}: {file}: {error}") from error

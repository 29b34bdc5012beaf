"""Every attack of `tests/security/abuse` on Jobs of a real cluster: tried, refused, and nothing outside has changed."""

from pathlib import Path

import pytest

from tests.fixtures.cluster import Cluster
from tests.security.abuse.backends import attacked
from tests.security.abuse.table import ATTACKS


@pytest.mark.timeout(900)
async def test_refused(cluster: Cluster, tmp_path: Path) -> None:
    """All of them, in few pods: opening one for each would take a quarter of an hour."""
    tmp_path.chmod(0o755)
    async with attacked(cluster, tmp_path) as arena:
        verdicts = await arena.tried(ATTACKS)
    through = {a.name: v.seen for a, v in zip(ATTACKS, verdicts, strict=True) if not v.stands}
    assert through == {}
    meaningless = [a.name for a, v in zip(ATTACKS, verdicts, strict=True) if not v.tried]
    assert len(meaningless) <= 5

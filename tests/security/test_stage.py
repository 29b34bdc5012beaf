import asyncio
from pathlib import Path

from folkmoot.runner.local.stage import staged
from folkmoot.runner.local.toolchain import discover
from tests.fixtures import need


async def test_a_bind_that_is_cancelled_spoils_none_that_follows(tmp_path: Path) -> None:
    """Cancelling an opening, at whatever moment, leaves the stage usable for every other workspace."""
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    folders = [secret / str(n) for n in range(12)]
    for folder in folders:
        folder.mkdir()
    async with staged(discover(tmp_path / "runner"), uid=65534) as stage:
        need(not stage.doubt, stage.doubt)
        for n, folder in enumerate(folders[:-1]):
            try:
                async with asyncio.timeout(0.0005 * n):
                    await stage.shown([folder])
            except TimeoutError:
                continue
        places = await stage.shown(folders)
    assert len(set(places.values())) == len(folders)

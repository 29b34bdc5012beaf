"""Calls that no test makes, as an exhibit of the platform's own: it shows where candidates differ and nobody looked."""

import asyncio
import logging

import msgspec

from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.errors import CallerError
from folkmoot.kernel.evidence import PLATFORM, Exhibit, PackedFile, PreparedBase, Runner, Source
from folkmoot.kernel.facts import ExhibitAdmitted
from folkmoot.kernel.probing import PATH, file_of, probes
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.parts import Parts
from folkmoot.runtime.supervise import patiently

log = logging.getLogger(__name__)


class Probing:
    """Of one deliberation, in one owner."""

    def __init__(self, parts: Parts, journal: Journal) -> None:
        self._parts = parts
        self._journal = journal
        self._tried = False

    @property
    def _state(self) -> Deliberation:
        return self._journal.state

    @property
    def _base(self) -> PreparedBase:
        assert self._state.base is not None
        return self._state.base

    async def made(self) -> None:
        """The exhibit, once, as soon as there are two different changes; none where no test in Python shows a call with
        plain arguments. Its author is the platform, and it is evidence of nothing but differences."""
        different = {a.tree for a in self._state.admissions}
        there = any(e.source is Source.PROBE for e in self._state.exhibits)
        if self._tried or there or len(different) < 2:
            return
        self._tried = True
        found = await asyncio.to_thread(probes, await self._texts())
        if not found.calls:
            return
        try:
            await self._record(file_of(found))
        except CallerError as error:
            log.warning("no probes for %s: %s", self._state.task_id, error)

    async def _texts(self) -> list[str]:
        """Of the files of tests that came with proposals."""
        packs = {e.pack.files.sha256: e.pack for e in self._state.exhibits if e.source is Source.CANDIDATE}
        found = list[str]()
        for pack in (p for _, p in sorted(packs.items()) if p.suite.runner is Runner.PYTEST):
            body = await patiently(lambda pack=pack: self._parts.artifacts.get(pack.files))  # type: ignore[misc]
            files = msgspec.json.decode(body, type=tuple[PackedFile, ...])
            found += [f.content.decode("utf-8", "replace") for f in files if f.path in pack.paths]
        return found

    async def _record(self, text: str) -> None:
        body = msgspec.json.encode([PackedFile(path=PATH, content=text.encode())])
        files = await patiently(lambda: self._parts.artifacts.put(body))
        extracted = await patiently(
            lambda: self._parts.runner.extract_tests(self._state.task_id, self._base, files=files)
        )
        for pack in extracted.packs[:1]:
            exhibit = Exhibit(exhibit_id="probe-1", author=PLATFORM, source=Source.PROBE, pack=pack)
            await self._journal.record(ExhibitAdmitted(exhibit=exhibit))

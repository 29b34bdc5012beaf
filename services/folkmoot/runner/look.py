"""What is to be said of a candidate that came through the border: how it touched its own examination, what of it a
person should look at, and whether it differs from others in more than comments."""

import asyncio

from folkmoot.kernel.evidence import PreparedBase, Tampering
from folkmoot.runner import interference, policy, suspicion
from folkmoot.runner.border.admission import Findings
from folkmoot.runner.border.change import Seen
from folkmoot.runner.border.entries import Entry, shown
from folkmoot.runner.fingerprint import Change, fingerprint
from folkmoot.runner.git import Git
from folkmoot.runner.interference import LineChanges
from folkmoot.runner.objects import Objects

TOLD = 20
"""Findings of one kind that are told one by one."""


async def look(git: Git, objects: Objects, base: PreparedBase, seen: Seen) -> Findings:
    """Raises GitFailed, GitTooSlow."""
    told = await suspicion.told(git, objects, base, seen.entries, seen.contents)
    return Findings(
        tampered=await _tampered(git, objects, base, seen, told),
        flags=(*policy.flags(seen.entries), *suspicion.lesser(told)[:TOLD]),
        # Hostile source takes a second to read: others go on meanwhile.
        fingerprint=await asyncio.to_thread(fingerprint, [_change(e, seen.contents) for e in seen.entries]),
    )


async def _tampered(
    git: Git, objects: Objects, base: PreparedBase, seen: Seen, told: suspicion.Told
) -> tuple[Tampering, ...]:
    """What a candidate did to the examination itself; new files of the protected kinds are left out of that anyway."""
    protected = policy.matcher(base.protected)
    hows = [
        await _interference(git, objects, protected, e, seen) or suspicion.grave(told.get(e.path, ()))
        for e in seen.entries
    ]
    found = [Tampering(path=shown(e.path), how=how) for e, how in zip(seen.entries, hows, strict=True) if how]
    if len(found) > TOLD:
        rest = Tampering(path="…", how=f"{len(found) - TOLD} more protected files")
        found[TOLD:] = [rest]
    return tuple(found)


async def _interference(git: Git, objects: Objects, protected: policy.Spec, entry: Entry, seen: Seen) -> str:
    if not entry.added and policy.matches(protected, entry.path):
        lines = None if entry.operation in {"D", "T"} else await _lines(git, entry)
        return interference.tampering(entry, lines)
    if module := interference.shadowed(entry):
        return f"added, and would be imported instead of the module `{module}` that runs tests"
    if interference.is_project(entry.path):
        old = await objects.contents([entry.old_object] if entry.old_mode.startswith("100") else [])
        new = b"" if entry.deleted else seen.contents[entry.new_object]
        return interference.project_tampering(b"".join(old), new, entry.new_mode)
    return await suspicion.scripts(objects, entry, seen.contents)


async def _lines(git: Git, entry: Entry) -> LineChanges | None:
    """None when the file is not text."""
    if entry.old_object == entry.new_object:
        return LineChanges()
    patch = await git.out(
        "diff", "-U0", "--no-color", "--no-ext-diff", "--no-textconv", entry.old_object, entry.new_object
    )
    return interference.line_changes(patch) if b"\n@@ " in patch else None


def _change(entry: Entry, contents: dict[str, bytes]) -> Change:
    return Change(
        path=entry.path,
        operation=entry.operation,
        mode=entry.new_mode,
        content=b"" if entry.deleted else contents[entry.new_object],
    )

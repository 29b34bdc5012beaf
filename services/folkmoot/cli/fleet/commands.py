"""What each command about councils, agents, parked messages and the status does."""

import sys

from folkmoot.cli.codes import Code
from folkmoot.cli.commands import platform
from folkmoot.cli.fleet import files
from folkmoot.cli.fleet.values import Parked, Status
from folkmoot.cli.output import emit, say
from folkmoot.cli.person import person
from folkmoot.cli.screen import console
from folkmoot.cli.text import count, span
from folkmoot.kernel.errors import CallerError

# --- councils ----------------------------------------------------------------------------------------------------


async def councils(role: str, *, as_json: bool) -> Code:
    async with platform() as client:
        found = await client.fleet.councils(role)
    if as_json:
        emit({"councils": found})
    else:
        from folkmoot.cli.fleet import draw

        console(sys.stdout).print(draw.councils(found))
    return Code.DONE


async def council(name: str, *, as_json: bool) -> Code:
    """With the profiles of its agents."""
    async with platform() as client:
        found = await client.fleet.council(name)
        sitting = [a for a in await client.fleet.agents("") if a.name in found.agents]
    if as_json:
        emit({"council": found, "agents": sitting})
    else:
        from folkmoot.cli.fleet import draw

        out = console(sys.stdout)
        out.print(draw.councils((found,)))
        out.print(draw.agents(tuple(sitting)))
    return Code.DONE


async def set_council(file: str, *, as_json: bool) -> Code:
    """Agents that stand whole in the file are registered first: a council may name only those that are there."""
    council, agents = files.read_council(file)
    async with platform() as client:
        registered = [await client.fleet.register(agent, person()) for agent in agents]
        stored = await client.fleet.create(council, person())
    if as_json:
        emit({"council": stored, "registered": registered})
    also = f", with {len(registered)} agents registered" if registered else ""
    say(f"Council {stored.name} sits for {stored.role}: {', '.join(stored.agents)}{also}")
    return Code.DONE


async def delete_council(name: str, *, as_json: bool) -> Code:
    async with platform() as client:
        await client.fleet.delete(name, person())
    if as_json:
        emit({"deleted": name})
    say(f"Council {name} is forgotten; one that ships is as it was")
    return Code.DONE


# --- agents ------------------------------------------------------------------------------------------------------


async def agents(role: str, *, as_json: bool) -> Code:
    async with platform() as client:
        found = await client.fleet.agents(role)
    if as_json:
        emit({"agents": found})
    else:
        from folkmoot.cli.fleet import draw

        console(sys.stdout).print(draw.agents(found))
    return Code.DONE


async def set_agents(file: str, *, as_json: bool) -> Code:
    profiles = files.read_agents(file)
    async with platform() as client:
        stored = [await client.fleet.register(profile, person()) for profile in profiles]
    if as_json:
        emit({"registered": stored})
    say(f"Registered: {', '.join(agent.name for agent in stored)}")
    return Code.DONE


async def delete_agent(name: str, *, as_json: bool) -> Code:
    async with platform() as client:
        await client.fleet.unregister(name, person())
    if as_json:
        emit({"deleted": name})
    say(f"Agent {name} is forgotten; one that ships is as it was")
    return Code.DONE


# --- parked messages ---------------------------------------------------------------------------------------------


async def parked(stream: str, *, as_json: bool) -> Code:
    async with platform() as client:
        messages = await client.fleet.parked(stream)
    if as_json:
        emit({"messages": messages})
    elif messages:
        from folkmoot.cli.fleet import draw

        console(sys.stdout).print(draw.parked(messages))
    else:
        say("Nothing is parked")
    return Code.DONE


async def replay(sequence: int, *, as_json: bool) -> Code:
    async with platform() as client:
        await client.fleet.replay(sequence)
    if as_json:
        emit({"replayed": [sequence], "refused": []})
    say(f"Message {sequence} is handled again")
    return Code.DONE


async def replay_all(stream: str, *, as_json: bool) -> Code:
    """The oldest first; one that is refused stops none of the others. Usage when some were refused."""
    replayed: list[int] = []
    refused: list[dict[str, object]] = []
    async with platform() as client:
        for message in _waiting(await client.fleet.parked(stream)):
            try:
                await client.fleet.replay(message.sequence)
                replayed.append(message.sequence)
            except CallerError as error:
                refused.append({"sequence": message.sequence, "problem": str(error)})
                say(f"Message {message.sequence} is refused: {error}")
    if as_json:
        emit({"replayed": replayed, "refused": refused})
    say(f"{len(replayed)} handled again, {len(refused)} refused")
    return Code.USAGE if refused else Code.DONE


def _waiting(messages: tuple[Parked, ...]) -> list[Parked]:
    """Those that nobody replayed yet, the oldest first."""
    return sorted((m for m in messages if not m.replayed), key=lambda m: m.sequence)


# --- status ------------------------------------------------------------------------------------------------------


async def status(*, as_json: bool) -> Code:
    async with platform() as client:
        found = await client.fleet.status()
    if as_json:
        emit(found)
        return Code.DONE
    sys.stdout.writelines(f"{name:<9} {words}\n" for name, words in _described(found))
    sys.stdout.flush()
    return Code.DONE


def _described(found: Status) -> list[tuple[str, str]]:
    quota = f" of {count(found.tokens_per_day)}" if found.tokens_per_day else ""
    parked = f"{found.parked}; `moot parked list` shows them" if found.parked else "0"
    return [
        ("waiting", f"{found.waiting} tasks that nobody works on yet"),
        ("running", f"{found.running} deliberations, {found.capacity} at once at most"),
        ("tokens", f"{count(found.tokens_today)}{quota} in the last 24 hours"),
        *_money(found),
        ("agents", f"{found.agent_hours_today:.1f}{_of(found.agent_hours_per_day)} hours in the last 24 hours"),
        ("parked", parked),
        *_refusing(found),
    ]


def _money(found: Status) -> list[tuple[str, str]]:
    if not (found.usd_today or found.usd_per_day):
        return []
    return [("cost", f"{found.usd_today:.2f}{_of(found.usd_per_day)} US dollars in the last 24 hours")]


def _of(quota: float) -> str:
    return f" of {quota:g}" if quota else ""


def _refusing(found: Status) -> list[tuple[str, str]]:
    if not found.refusing:
        return []
    return [("refusing", f"new tasks: {found.refusing}; there may be room again in {span(found.retry_after_s)}")]

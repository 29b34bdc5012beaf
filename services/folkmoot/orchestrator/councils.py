"""Councils: which agents sit for a task. This version has one, of DEV agents that differ in persona."""

from folkmoot.agents.roles import PERSONAS
from folkmoot.kernel.facts import Seat
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.task import ModelChoice, TaskSpec
from folkmoot.runtime.settings import ModelSettings


def default_council(spec: TaskSpec, configured: ModelSettings) -> tuple[Seat, ...]:
    """As many DEV seats as the task asks for, `dev-1` first."""
    model = ModelChoice(url=spec.model.url or configured.url, name=spec.model.name or configured.name)
    return tuple(
        Seat(agent_id=AgentId(f"dev-{n}"), role="DEV", persona=PERSONAS[(n - 1) % len(PERSONAS)].name, model=model)
        for n in range(1, spec.agents + 1)
    )

"""What a task as a whole may use, and what all tasks of a day, and whether that is used up. Pure."""

import msgspec

from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import Budget

HOUR_S = 3_600.0


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens."""

    prompt_usd: float = 0.0
    completion_usd: float = 0.0

    def cost(self, used: Usage) -> float:
        """US dollars."""
        return (used.prompt_tokens * self.prompt_usd + used.completion_tokens * self.completion_usd) / 1e6


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """By many tasks."""

    tokens: int = 0
    usd: float = 0.0
    agent_s: float = 0.0
    """Time of agents: two at once use two seconds in one."""

    @classmethod
    def by(cls, used: Usage, prices: Prices) -> "Spent":
        tokens = used.prompt_tokens + used.completion_tokens
        return cls(tokens=tokens, usd=prices.cost(used), agent_s=used.wall_s)

    def plus(self, other: "Spent") -> "Spent":
        return Spent(tokens=self.tokens + other.tokens, usd=self.usd + other.usd, agent_s=self.agent_s + other.agent_s)


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """Of all tasks together, in 24 hours; 0 is none."""

    tokens: int = 0
    usd: float = 0.0
    agent_hours: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.tokens or self.usd or self.agent_hours)

    def reached(self, spent: Spent) -> str:
        """Which part of it is spent, in words; empty: none."""
        hours = spent.agent_s / HOUR_S
        for most, over, words in (
            (self.tokens, spent.tokens >= self.tokens, f"{spent.tokens} tokens in 24 hours, of {self.tokens}"),
            (self.usd, spent.usd >= self.usd, f"{spent.usd:.2f} USD in 24 hours, of {self.usd:g}"),
            (
                self.agent_hours,
                hours >= self.agent_hours,
                f"{hours:.2f} hours of agents in 24 hours, of {self.agent_hours:g}",
            ),
        ):
            if most and over:
                return words
        return ""


def reached(total: Budget, used: Usage, prices: Prices) -> str:
    """Which limit of the task is used up, in words; empty: none. Its wall time is not looked at."""
    tokens, cost = used.prompt_tokens + used.completion_tokens, prices.cost(used)
    for over, words in (
        (used.model_calls >= total.steps, f"the task's limit of {total.steps} model calls is reached"),
        (tokens >= total.tokens, f"the task's token limit is reached: {tokens} of {total.tokens}"),
        (cost >= total.cost_usd, f"the task's cost limit is reached: {cost:.4f} USD of {total.cost_usd:g}"),
    ):
        if over:
            return words
    return ""

"""What a task as a whole may use, and whether that is used up. Pure."""

from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import Budget


def reached(total: Budget, used: Usage, *, price_prompt_usd: float, price_completion_usd: float) -> str:
    """Which limit of the task is used up, in words; empty: none. Its wall time is not looked at. Prices: per million
    tokens."""
    tokens = used.prompt_tokens + used.completion_tokens
    cost = (used.prompt_tokens * price_prompt_usd + used.completion_tokens * price_completion_usd) / 1e6
    for over, words in (
        (used.model_calls >= total.steps, f"the task's limit of {total.steps} model calls is reached"),
        (tokens >= total.tokens, f"the task's token limit is reached: {tokens} of {total.tokens}"),
        (cost >= total.cost_usd, f"the task's cost limit is reached: {cost:.4f} USD of {total.cost_usd:g}"),
    ):
        if over:
            return words
    return ""

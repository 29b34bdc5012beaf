"""What a task that still runs has used: the log sums an agent up when it is done, its steps tell of it earlier."""

import msgspec

from folkmoot.cli.client import Answer, Client
from folkmoot.kernel.facts import StepTaken
from folkmoot.kernel.result import Usage


async def so_far(client: Client, answer: Answer) -> Answer:
    """The answer, with the steps that were taken where it is not the last one. Raises as `Client.history`."""
    if answer.result.state.terminal:
        return answer
    steps = Usage()
    async for seen in client.history(answer.result.task_id, steps=True):
        if seen.event and isinstance(seen.event.data, StepTaken):
            steps = steps.plus(seen.event.data.usage)
    result = msgspec.structs.replace(answer.result, usage=_more(answer.result.usage, steps))
    return msgspec.structs.replace(answer, result=result)


def _more(summed: Usage, steps: Usage) -> Usage:
    """Field by field: steps are kept for a week only, and sums come late."""
    return Usage(**{name: max(getattr(summed, name), getattr(steps, name)) for name in Usage.__struct_fields__})

"""Names on the bus (design, section 3)."""

from folkmoot.kernel.ids import AgentId, StoryId, TaskId


def story(story_id: StoryId) -> str:
    return f"agile.events.{story_id}"


def request(task_id: TaskId) -> str:
    return f"deliberation.requests.{task_id}"


def deliberation(task_id: TaskId) -> str:
    return f"deliberation.events.{task_id}"


def agent_request(task_id: TaskId, agent_id: AgentId) -> str:
    return f"agent.requests.{task_id}.{agent_id}"


def agent_response(task_id: TaskId, agent_id: AgentId) -> str:
    return f"agent.responses.{task_id}.{agent_id}"


def agent_result(task_id: TaskId, agent_id: AgentId) -> str:
    return f"agent.results.{task_id}.{agent_id}"


def agent_steps(task_id: TaskId, agent_id: AgentId) -> str:
    return f"agent.steps.{task_id}.{agent_id}"


COUNCILS = "fleet.events.councils"
DECISIONS = "fleet.events.decisions"
ALL_STORIES = "agile.events.*"
ALL_DELIBERATIONS = "deliberation.events.*"


def all_steps(task_id: TaskId) -> str:
    return f"agent.steps.{task_id}.*"

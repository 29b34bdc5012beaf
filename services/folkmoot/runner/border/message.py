"""The words of the platform's own commit: the author's, and trailers that nobody else can set. Pure."""

import re
import unicodedata

from folkmoot.kernel.ids import AgentId, TaskId

MESSAGE_CHARS = 8_000
_OURS = re.compile(r"(?mi)^(?=[^\S\n]*folkmoot[-_\w]*[^\S\n]*:)")


def commit_message(words: str, task_id: TaskId, agent_id: AgentId) -> str:
    """The author's words without control characters, and our trailers."""
    text = words[:MESSAGE_CHARS].replace("\r\n", "\n").replace("\t", "    ")
    text = "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else "" for c in text)
    text = re.sub("[\u2028\u2029]", " ", text)
    text = _OURS.sub("> ", re.sub(r"\n{3,}", "\n\n", text)).strip() or f"Proposal of {agent_id}"
    return f"{text}\n\nFolkmoot-Task: {task_id}\nFolkmoot-Agent: {agent_id}\n"

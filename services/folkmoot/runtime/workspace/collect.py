"""A command's output, collected."""

from collections.abc import Mapping, Sequence

from folkmoot.kernel.evidence import CommandEnd
from folkmoot.runtime.workspace.port import Completed


def collected(streams: Mapping[str, Sequence[bytes]], end: CommandEnd, *, truncated: bool) -> Completed:
    return Completed(
        end=end, stdout=b"".join(streams["stdout"]), stderr=b"".join(streams["stderr"]), truncated=truncated
    )

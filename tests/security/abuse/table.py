"""All attacks, by family."""

from tests.security.abuse import files, git, limits, network, processes, tenancy

ATTACKS = [
    *files.ATTACKS,
    *processes.ATTACKS,
    *network.ATTACKS,
    *limits.ATTACKS,
    *tenancy.ATTACKS,
    *git.ATTACKS,
]

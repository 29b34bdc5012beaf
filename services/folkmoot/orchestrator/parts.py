"""What deliberations are carried out with."""

from collections.abc import Mapping

import msgspec

from folkmoot.agents.pool import AgentPool
from folkmoot.agents.structured import Model
from folkmoot.kernel.jury import Policy
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.earlier import Earlier
from folkmoot.orchestrator.examiner import Examiner
from folkmoot.orchestrator.runner import Runner
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log.port import Artifacts, Log, Queues
from folkmoot.runtime.settings import ModelSettings, OrchestratorSettings


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a deliberation is carried out with; shared by all of one orchestrator."""

    log: Log
    queues: Queues
    artifacts: Artifacts
    runner: Runner
    pool: AgentPool
    examiner: Examiner
    councils: Councils
    earlier: Earlier
    clock: Clock
    settings: OrchestratorSettings
    model: ModelSettings
    policy: Policy
    judge: Model
    policies: Mapping[str, Policy] = {}
    """By repository; `policy` is for the others."""

    def within(self, repository: str) -> "Parts":
        """For a task in that repository."""
        own = self.policies.get(repository)
        return self if own is None else msgspec.structs.replace(self, policy=own)

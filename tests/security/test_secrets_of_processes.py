"""Which process of a running platform knows which secret, as any process of the same user could read it."""

import json
from pathlib import Path

from tests.fixtures.platform import KEY, Moot
from tests.fixtures.small import MEND, SMALL, Case


def _parent(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


def _descendants(root: int) -> dict[int, str]:
    """The service of ours that each process below `root` belongs to, by process id."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(process.name)] = _parent(process)
        except OSError:
            continue
    found: dict[int, str] = {}
    waiting = [(child, _service(child)) for child, parent in parents.items() if parent == root]
    while waiting:
        pid, name = waiting.pop()
        found[pid] = name
        waiting += [(child, name) for child, parent in parents.items() if parent == pid]
    return found


def _service(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    modules = [word.rpartition(".")[2] for word in words if word.startswith("folkmoot.")]
    return modules[0] if modules else Path(words[0]).name


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text("utf-8", "replace")
    except OSError:
        return ""


def _holders(secret: str, environments: dict[int, str], services: dict[int, str]) -> set[str]:
    return {services[pid] for pid, text in environments.items() if secret in text}


def test_each_process_has_only_its_own_secrets(moot: Moot) -> None:
    """The model's key: the orchestrator, and planning. A password of the bus: its user. Ray's workers, where agents
    run: none."""
    services = _descendants(moot.info.pid)
    environments = {pid: _environment(pid) for pid in services}
    assert set(services.values()) == {"ray", "nats-server", "planning", "runner", "context", "orchestrator"}
    assert list(services.values()).count("ray") > 4, "workers are seen too"
    assert _holders(KEY, environments, services) == {"orchestrator", "planning"}
    users = json.loads((moot.data / "nats" / "nats.conf").read_text())["authorization"]["users"]
    holders = {u["user"]: _holders(u["password"], environments, services) for u in users}
    assert holders.pop("agents") == {"orchestrator"}, "which gives it to the agents' hosts"
    assert holders.pop("platform") == set()
    assert holders == {user: {user} & set(services.values()) for user in holders}
    token = _holders(moot.info.token, environments, services)
    assert token == {"planning", "runner", "context", "orchestrator"}


def test_no_process_in_a_sandbox_has_a_secret(moot: Moot, tmp_path: Path) -> None:
    """Neither the command's environment nor that of the sandbox's first process holds a setting of ours."""
    visible = "cat /proc/[0-9]*/environ | tr '\\0' '\\n'"
    check = f"{visible} | grep -q ^HOME= && ! {visible} | grep -e FOLKMOOT -e PASSWORD -e KEY -e TOKEN"
    done = Case(moot, tmp_path).solve(SMALL, MEND, "--check", check)
    assert done.code == 0, done

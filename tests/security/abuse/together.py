"""Several attacks in one command: each a process of its own, with its own output and exit status."""

import json
from collections.abc import Mapping, Sequence

import msgspec

from folkmoot.runtime.workspace.client import GrpcWorkspace
from tests.security.abuse.attack import Attack, Verdict, judged

_DRIVER = """import json, os, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
def tried(attack):
    argv, environment, seconds = attack
    try:
        done = subprocess.run(argv, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=seconds, start_new_session=True)
    except subprocess.TimeoutExpired:
        return {"code": -1, "said": "it took too long"}
    return {"code": done.returncode, "said": done.stdout[-4000:].decode("utf-8", "replace")}
with ThreadPoolExecutor(8) as pool:
    print(json.dumps(list(pool.map(tried, json.load(sys.stdin)))))
"""
_SECONDS = 100.0


class _Outcome(msgspec.Struct):
    code: int
    said: str


async def tried(
    workspace: GrpcWorkspace, attacks: Sequence[Attack], environment: Mapping[str, str]
) -> list[Verdict] | None:
    """In the same order; None where one of them ended the command for all."""
    orders = [(a.argv, {**environment, **a.environment}, a.timeout_s) for a in attacks]
    done = await workspace.run(
        ["python3", "-c", _DRIVER], stdin=json.dumps(orders).encode(), env=dict(environment), timeout_s=_SECONDS
    )
    if not done.end.ok:
        return None
    outcomes = msgspec.json.decode(done.stdout, type=list[_Outcome])
    return [
        judged(attack, ok=outcome.code == 0, output=outcome.said)
        for attack, outcome in zip(attacks, outcomes, strict=True)
    ]

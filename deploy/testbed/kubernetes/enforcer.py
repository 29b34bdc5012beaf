"""Builds the enforcer of NetworkPolicy objects: kube-network-policies, changed where this kind of kernel needs it."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import msgspec

from deploy.shared import Failed
from deploy.testbed.kubernetes.programs import HERE, go, program

_FOLDER = HERE / "enforcer"
_MODULE = "sigs.k8s.io/kube-network-policies"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the module's `pkg/dataplane/controller.go`, and what stands there instead."""

    before: str
    after: str
    times: int = 1


_CHANGES = (
    Change(
        before="queue := &expr.Queue{Num: uint16(c.config.QueueID)}\n"
        "\tif c.config.FailOpen {\n\t\tqueue.Flag = expr.QueueFlagBypass\n\t}",
        after="queue := queueRule(c.config.QueueID, c.config.FailOpen)",
        times=2,
    ),
    Change(before="nfqueue.WithLabel(generateLabelMask(c.config.CTLabelAccept))", after="acceptedMark(a)"),
    # Open connections are judged anew within a second of a change: tests would wait for half a minute.
    Change(before="30*time.Second, // minInterval", after="1*time.Second, // minInterval"),
    Change(
        before='\tif err := nft.Flush(); err != nil {\n\t\tlogger.Info("syncing nftables rules"',
        after="\tlabelAccepted(nft, table, generateLabelMask(c.config.CTLabelAccept))\n"
        '\tif err := nft.Flush(); err != nil {\n\t\tlogger.Info("syncing nftables rules"',
    ),
)


def enforcer(built: Path) -> Path:
    """The program, built unless it is there. Raises Failed."""
    files = sorted(p for p in _FOLDER.iterdir() if p.is_file())
    content = [*(file.read_bytes() for file in files), repr(_CHANGES).encode()]
    with tempfile.TemporaryDirectory() as scratch:
        sources = Path(scratch) / "enforcer"
        shutil.copytree(_FOLDER, sources)
        return program(built, "enforcer", sources, ".", content, prepare=_changed)


def _changed(sources: Path) -> None:
    """Put the changed module beside the sources, where their go.mod looks for it."""
    found = re.search(rf"^\t{re.escape(_MODULE)} (v\S+)$", (sources / "go.mod").read_text("utf-8"), re.MULTILINE)
    if not found:
        raise Failed(f"the enforcer's go.mod names no version of {_MODULE}")
    published = json.loads(go("mod", "download", "-json", f"{_MODULE}@{found.group(1)}", cwd=HERE))["Dir"]
    copy = sources / "kube-network-policies"
    shutil.copytree(published, copy, copy_function=shutil.copyfile)
    for folder in (copy, *(p for p in copy.rglob("*") if p.is_dir())):
        folder.chmod(0o755)
    (sources / "kernel.go.txt").rename(copy / "pkg/dataplane/kernel.go")
    controller = copy / "pkg/dataplane/controller.go"
    controller.write_text(apply(controller.read_text("utf-8")), "utf-8")


def apply(text: str) -> str:
    """`controller.go`, changed. Raises Failed when it is not the source that the changes were written for."""
    for change in _CHANGES:
        if text.count(change.before) != change.times:
            raise Failed(f"this version of {_MODULE} is not the one that the changes in enforcer.py were made for")
        text = text.replace(change.before, change.after)
    return text

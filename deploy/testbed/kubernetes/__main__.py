"""The command: python -m deploy.testbed.kubernetes build|up|down|status|ignore-policies|kill|import."""

import argparse
import sys
from pathlib import Path

from deploy.images.workspaces import build
from deploy.shared import Failed
from deploy.testbed.kubernetes.bed import Bed, Status


def main() -> None:
    arguments = _parser().parse_args()
    try:
        sys.stdout.write(_do(Bed(arguments.name), arguments))
    except Failed as failure:
        raise SystemExit(f"testbed: {failure}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.testbed.kubernetes", description="A Kubernetes of one node, for tests."
    )
    parser.add_argument("--name", default="bed", help="which bed; each name is one of its own (default: bed)")
    verbs = parser.add_subparsers(dest="verb", required=True)
    first = verbs.add_parser("build", help="do now what takes minutes, once")
    up = verbs.add_parser("up", help="start it, or what of it has ended; print the kubeconfig's path")
    for verb in (first, up):
        verb.add_argument("--set", action="append", default=[], help="with this set's workspace image (repeatable)")
    down = verbs.add_parser("down", help="end it and leave nothing but what is built and imported")
    down.add_argument("--images", action="store_true", help="forget the imported images too")
    verbs.add_parser("status", help="print what runs")
    verbs.add_parser("ignore-policies", help="let NetworkPolicy objects mean nothing, until the next `up`")
    verbs.add_parser("kill", help="kill one of its programs, until the next `up`").add_argument("program")
    verbs.add_parser("import", help="import a docker or OCI archive").add_argument("archive", type=Path)
    return parser


def _do(bed: Bed, arguments: argparse.Namespace) -> str:
    match arguments.verb:
        case "build":
            bed.build()
            return "".join(f"{build.image(name).by_digest}\n" for name in arguments.set)
        case "up":
            bed.build()
            return f"{bed.up([build.image(name) for name in arguments.set]).kubeconfig}\n"
        case "down":
            return "" if bed.down(images=arguments.images) else "it was not up\n"
        case "status":
            return _described(bed.status())
        case "ignore-policies":
            bed.ignore_policies()
        case "kill":
            bed.kill(arguments.program)
        case "import":
            bed.load(arguments.archive)
    return ""


def _described(status: Status) -> str:
    lines = {
        "kubeconfig": status.kubeconfig,
        "API server": status.network.server,
        "machine": f"{status.network.machine} (what a pod could reach of it)",
        "policies": "enforced" if status.policies else "ignored",
        "running": ", ".join(status.running),
    }
    return "".join(f"{name:<11} {value}\n" for name, value in lines.items())


if __name__ == "__main__":
    main()

"""Images of workspaces.

build [SET...]      make them (default: base), print name, digest and archive
context SET FOLDER  write what a Dockerfile needs into a new folder
"""

import argparse
import sys
from pathlib import Path

from deploy.images.workspaces import build, context
from deploy.shared import Failed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.images.workspaces", description="Images of workspaces.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="make images, without an engine").add_argument("sets", nargs="*", default=["base"])
    folder = verbs.add_parser("context", help="write what an engine builds the same image from")
    folder.add_argument("set")
    folder.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.verb == "context":
            context.write(context.recipe(arguments.set), arguments.folder)
            return
        for name in arguments.sets:
            image = build.image(name)
            sys.stdout.write(f"{image.by_digest}\n  {image.name}\n  {image.archive}\n")
    except Failed as failure:
        raise SystemExit(f"images: {failure}") from None


if __name__ == "__main__":
    main()

"""`python -m folkmoot.platform.demo FOLDER`: writes the demo's repository, and the id of its commit."""

import argparse
import sys
from pathlib import Path

from folkmoot.kernel.errors import InvalidInput, Misconfigured
from folkmoot.platform.demo.material import write_repository


def main() -> int:
    """0; 1 when git fails; 2 when the folder is in use."""
    parser = argparse.ArgumentParser("python -m folkmoot.platform.demo", description=__doc__)
    parser.add_argument("folder", type=Path)
    try:
        commit = write_repository(parser.parse_args().folder)
    except (InvalidInput, Misconfigured) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 2 if isinstance(error, InvalidInput) else 1
    sys.stdout.write(f"{commit}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Redraw figures from the JSON they came from: ``python scripts/plot.py results/encryption``."""

import argparse
import sys
from pathlib import Path

from pride_jax.errors import PrideError
from pride_jax.reporting.figures import draw


def main() -> int:
    """Reads the command line, draws, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, help="a folder of results/ that has pictures")
    arguments = parser.parse_args()
    try:
        for path in draw(arguments.folder):
            print(path)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

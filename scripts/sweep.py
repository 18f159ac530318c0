"""Run a config many times: ``python scripts/sweep.py --config FILE --over seed=0..19``.

Repeat ``--over`` for a grid; finished runs are not repeated.
"""

import argparse
import sys
from pathlib import Path

from pride_jax.config import load_config
from pride_jax.errors import PrideError


def main() -> int:
    """Reads the command line, runs, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--over", action="append", required=True, metavar="SETTING=VALUES")
    parser.add_argument("--workdir", type=Path)
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config)
        from pride_jax.reporting.terminal import show_sweep, show_sweep_row
        from pride_jax.runs.devices import use_cores
        from pride_jax.sweep import parse_over, sweep

        use_cores(config.engine.devices)
        over = [parse_over(text) for text in arguments.over]
        workdir = arguments.workdir or Path("runs") / f"{arguments.config.stem}_sweep"
        result = sweep(config, over, workdir, show_sweep_row)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show_sweep(result, workdir)
    return 1 if any("error" in row for row in result["runs"]) else 0


if __name__ == "__main__":
    sys.exit(main())

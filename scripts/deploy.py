"""Train with real parties: ``python scripts/deploy.py --config configs/iris_two_party.py --local``.

Any setting of the config can be overridden, as with train.py.
"""

import argparse
import sys
from pathlib import Path

import tyro

from pride_jax.config import Experiment, load_config
from pride_jax.errors import PrideError


def main() -> int:
    """Reads the command line, runs, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--local", action="store_true", help="every role on this machine")
    parser.add_argument(
        "--timeout", type=float, default=600.0, help="seconds to wait for an answer"
    )
    arguments, overrides = parser.parse_known_args()
    try:
        config = tyro.cli(
            Experiment,
            default=load_config(arguments.config),
            args=overrides,
            use_underscores=True,
            prog="deploy.py --config FILE --local [--workdir DIR] [--resume]",
        )
        workdir = arguments.workdir or Path("runs") / f"{arguments.config.stem}_deployed"
        return local(config, workdir, arguments.resume, arguments.timeout)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command with --resume continues", file=sys.stderr)
        return 130


def local(config: Experiment, workdir: Path, resume: bool, timeout: float) -> int:
    """Runs an experiment with every role in processes of its own, its progress on the terminal."""
    from pride_jax.deploy.local import run_local
    from pride_jax.reporting.terminal import progress, show_disclosure, show_summary
    from pride_jax.runs.devices import use_cores
    from pride_jax.runs.files import read_json

    use_cores(config.engine.devices)
    with progress(config) as report:
        summary = run_local(config, workdir, resume=resume, timeout=timeout, report=report)
    show_summary(summary, workdir)
    show_disclosure(read_json(workdir / "disclosure.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

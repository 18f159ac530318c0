"""Train a federated model: ``python scripts/train.py --config configs/iris_two_party.py``.

Any setting of the config can be overridden: ``--client.learning_rate 0.1``; ``--help`` lists them.
Several processes, on one machine or many, train together if each is started with the same command
and ``--coordinator ADDRESS:PORT --processes N --process I``, its own number I from 0; the first one
keeps the run's folder.
With ``--seeds 0..9``, ten runs are trained as one program, each in a folder of its own.
"""

import argparse
import contextlib
import sys
from pathlib import Path

from pride_jax.errors import ConfigError, PrideError
from pride_jax.settings.command_line import override
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import load_config


def main() -> int:
    """Reads the command line, runs, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=False, allow_abbrev=False)
    wants_help = bool({"-h", "--help"} & set(sys.argv))
    parser.add_argument("--config", type=Path, required=not wants_help)
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--coordinator", metavar="ADDRESS:PORT")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--seeds", metavar="FIRST..LAST")
    arguments, overrides = parser.parse_known_args()
    try:
        config = override(
            load_config(arguments.config) if arguments.config else Experiment(),
            overrides,
            prog="train.py --config FILE [--workdir DIR] [--resume] [--seeds FIRST..LAST]",
        )
        if arguments.seeds is not None and arguments.coordinator is not None:
            raise ConfigError(
                "--seeds with --coordinator: expected one process, without the latter"
            )
        with others(config, arguments):
            if arguments.seeds is not None:
                workdir = arguments.workdir or Path("runs") / f"{arguments.config.stem}_sweep"
                return train_seeds(config, workdir, arguments.seeds)
            workdir = arguments.workdir or Path("runs") / arguments.config.stem
            if arguments.process > 0:
                return assist(config, workdir)
            return train(config, workdir, arguments.resume)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command with --resume continues", file=sys.stderr)
        return 130


def others(
    config: Experiment, arguments: argparse.Namespace
) -> contextlib.AbstractContextManager[None]:
    """Makes JAX see its devices and, until the block ends, the other processes if there are any.

    Raises:
      PrideError: they cannot be found.
    """
    from pride_jax.runs.devices import keep_programs, use_cores
    from pride_jax.runs.hosts import joined

    use_cores(config.engine.devices)
    keep_programs()
    if arguments.coordinator is not None:
        return joined(arguments.coordinator, arguments.processes, arguments.process)
    if (arguments.processes, arguments.process) != (1, 0):
        raise ConfigError(
            f"--processes {arguments.processes} --process {arguments.process} without "
            "--coordinator: expected the address and port of process 0"
        )
    return contextlib.nullcontext()


def assist(config: Experiment, workdir: Path) -> int:
    """Takes part in a run that another process leads."""
    from pride_jax.runs.experiment import assist

    assist(config, workdir)
    return 0


def train(config: Experiment, workdir: Path, resume: bool) -> int:
    """Runs an experiment with its progress on the terminal."""
    from pride_jax.files import read_json
    from pride_jax.reporting.terminal import (
        progress,
        show_disclosure,
        show_note,
        show_summary,
    )
    from pride_jax.runs.experiment import run

    with progress(config) as report:
        summary = run(config, workdir, resume=resume, report=report, note=show_note)
    show_summary(summary, workdir)
    show_disclosure(read_json(workdir / "disclosure.json"))
    return 0


def train_seeds(config: Experiment, workdir: Path, seeds: str) -> int:
    """Runs an experiment with several seeds; those of them that are finished are left alone."""
    from pride_jax.reporting.sweep_terminal import show_sweep, sweep_progress
    from pride_jax.sweeps.sweep import parse_over, sweep
    from pride_jax.sweeps.together import together

    over = [parse_over(f"seed={seeds}")]
    with sweep_progress() as progress:
        result = sweep(config, over, workdir, together(progress.watch), progress.ended)
    show_sweep(result, workdir)
    return 1 if any("error" in row for row in result["runs"]) else 0


if __name__ == "__main__":
    sys.exit(main())

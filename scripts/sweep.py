"""Run a config many times: ``python scripts/sweep.py --config FILE --over seed=0..19``.

Repeat ``--over`` for a grid. Other settings of the config can be overridden as with train.py:
``--rounds 5``. Finished runs are not repeated, and those that were interrupted
continue; without ``--launcher``, runs go on in this process, one after another.
"""

import argparse
import sys
from pathlib import Path

from pride_jax.errors import ConfigError, PrideError
from pride_jax.reporting.sweep_terminal import show_sweep, sweep_progress
from pride_jax.settings.command_line import override
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import load_config
from pride_jax.sweeps.sweep import Execute, Watch, one_after_another, parse_over, sweep


def main() -> int:
    """Reads the command line, runs, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument(
        "--over",
        action="append",
        required=True,
        metavar="SETTING=VALUES",
        help="values listed, seed=1,2,4, or in a range that includes its end, seed=0..4; tuples "
        "with blanks, 'model.options.hidden=16,64 32'",
    )
    parser.add_argument("--workdir", type=Path, help="runs/<config>_sweep if not given")
    parser.add_argument(
        "--launcher", choices=("local", "slurm"), help="a process a run, here or through Slurm"
    )
    parser.add_argument(
        "--together", action="store_true", help="all runs in this process, as one compiled program"
    )
    parser.add_argument("--gpus", type=int, help="runs launched at a time, each with a GPU")
    parser.add_argument(
        "--jobs", type=int, help="runs launched at a time, without GPUs; here one a core by default"
    )
    arguments, overrides = parser.parse_known_args()
    try:
        config = override(
            load_config(arguments.config),
            overrides,
            prog="sweep.py --config FILE --over SETTING=VALUES [--workdir DIR] …",
        )
        over = [parse_over(text) for text in arguments.over]
        workdir = arguments.workdir or Path("runs") / f"{arguments.config.stem}_sweep"
        with sweep_progress() as progress:
            execute = executor(arguments, config, workdir, progress.watch)
            result = sweep(config, over, workdir, execute, progress.ended)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command continues", file=sys.stderr)
        return 130
    show_sweep(result, workdir)
    return 1 if any("error" in row for row in result["runs"]) else 0


def executor(
    arguments: argparse.Namespace, config: Experiment, workdir: Path, watch: Watch
) -> Execute:
    """How the runs are carried out.

    Raises:
      ConfigError: options that exclude each other.
    """
    launcher, gpus, jobs = arguments.launcher, arguments.gpus, arguments.jobs
    if launcher is not None and arguments.together:
        raise ConfigError(f"--launcher {launcher} and --together: expected one of them")
    if launcher is not None:
        from pride_jax.sweeps.launch import launched

        return launched(launcher, workdir / "jobs", watch, gpus=gpus, jobs=jobs)
    if gpus is not None or jobs is not None:
        raise ConfigError("--gpus and --jobs: expected a --launcher, local or slurm, with them")
    from pride_jax.runs.devices import keep_programs, use_cores

    use_cores(config.engine.devices)
    keep_programs()
    if arguments.together:
        from pride_jax.sweeps.together import together

        return together(watch)
    return one_after_another(watch)


if __name__ == "__main__":
    sys.exit(main())

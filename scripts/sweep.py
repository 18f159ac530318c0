"""Run a config many times: ``python scripts/sweep.py --config FILE --over seed=0..19``.

Repeat ``--over`` for a grid. Other settings of the config can be overridden as with train.py:
``--rounds 5``. Finished runs are not repeated, and those that were interrupted
continue; without ``--launcher``, runs go on in this process, one after another.

With ``--private``, settings are chosen as differential privacy allows: a secret random number of
runs, each with one combination of the values drawn at random, of which only the best is released,
and ε of everything is told. ``--private poisson --mean-runs 10 --score test``
"""

import argparse
import sys
from pathlib import Path

import checkout  # noqa: F401, since importing it finds the package
from pride_jax.errors import ConfigError, PrideError
from pride_jax.reporting.sweep_terminal import show_sweep, sweep_progress
from pride_jax.runs.folders import default_folder
from pride_jax.settings.command_line import override
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import load_config
from pride_jax.sweeps.sweep import Execute, Watch, one_after_another, parse_over, sweep

SLURM = ("cores", "memory", "hours", "partition", "account")


def main() -> int:
    """Reads the command line, runs, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True, help="what all runs share")
    parser.add_argument(
        "--over",
        action="append",
        required=True,
        metavar="SETTING=VALUES",
        help="values, seed=1,2,4; a range with its end, seed=0..4; numbers at equal distances, "
        "0.1..0.5:5, or ratios, 0.001..1:4log; tuples, 'model.options.hidden=(16),(64,32)'; "
        "settings that go together, 'client.epochs,rounds=1,20;5,10'",
    )
    parser.add_argument(
        "--workdir", type=Path, help="runs/CONFIG-CHANGES-over=SETTINGS if not given"
    )
    parser.add_argument(
        "--launcher", choices=("local", "slurm"), help="a process a run, here or through Slurm"
    )
    parser.add_argument(
        "--together", action="store_true", help="all runs in this process, as one compiled program"
    )
    parser.add_argument("--gpus", type=int, help="runs launched at a time, each with a GPU")
    parser.add_argument(
        "--jobs",
        type=int,
        help="runs launched at a time, without GPUs; if not given, here one a core, and as many as "
        "Slurm allows",
    )
    add_slurm(parser)
    add_private(parser)
    arguments, overrides = parser.parse_known_args()
    try:
        written = load_config(arguments.config)
        config = override(
            written,
            overrides,
            prog="sweep.py --config FILE --over SETTING=VALUES [--workdir DIR] …",
        )
        over = [parse_over(text) for text in arguments.over]
        swept = ",".join(name for name, _ in over)
        workdir = arguments.workdir or default_folder(
            arguments.config, written, config, f"over={swept}"
        )
        if arguments.private is not None:
            return tune_privately(arguments, config, over, workdir)
        for name in ("mean_runs", "score", "score_noise", "slots", "released"):
            if getattr(arguments, name) is not None:
                raise ConfigError(f"--{name.replace('_', '-')}: expected --private with it")
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


def add_slurm(parser: argparse.ArgumentParser) -> None:
    """What a run is given by Slurm."""
    slurm = parser.add_argument_group(
        "--launcher slurm: one job array; a run whose job is preempted or out of time is requeued "
        "and continues"
    )
    slurm.add_argument("--cores", type=int, metavar="N", help="of one machine, a run")
    slurm.add_argument("--memory", type=float, metavar="GIB", help="a run")
    slurm.add_argument("--hours", type=float, help="until a run is requeued; 24 if not given")
    slurm.add_argument("--partition", metavar="NAME", help="where runs go on")
    slurm.add_argument("--account", metavar="NAME", help="who is charged")


def add_private(parser: argparse.ArgumentParser) -> None:
    """The options of a private sweep."""
    private = parser.add_argument_group("private tuning (Papernot & Steinke 2022)")
    private.add_argument(
        "--private",
        choices=("geometric", "logarithmic", "poisson"),
        help="how the secret number of runs is distributed",
    )
    private.add_argument("--mean-runs", type=float, metavar="MEAN", help="10 if not given")
    private.add_argument(
        "--score",
        metavar="test|held-out|DATA",
        help="compare runs by the config's test examples, if not given, or another data set's, "
        "which no client holds and you declare public; or by what clients hold out",
    )
    private.add_argument(
        "--score-noise",
        type=float,
        metavar="SD",
        help="of held-out: of the sum of clients' accuracies, each at most 1; ε covers it",
    )
    private.add_argument(
        "--slots",
        type=int,
        metavar="RUNS",
        help="carry out so many runs whatever is drawn, so that time tells nothing",
    )
    private.add_argument(
        "--released",
        type=int,
        metavar="N",
        help="such sweeps of these clients in all, whose ε is told together; 1 if not given",
    )


def tune_privately(
    arguments: argparse.Namespace,
    config: Experiment,
    over: list[tuple[str, list[str]]],
    workdir: Path,
) -> int:
    """Carries out a private sweep.

    Raises:
      PrideError: it cannot be accounted, begin or go on.
    """
    from pride_jax.privacy.number_of_runs import AtMost, NegativeBinomial, Poisson
    from pride_jax.reporting.sweep_terminal import show_private, show_promise
    from pride_jax.sweeps.family import Asked, parse_score
    from pride_jax.sweeps.private import private_sweep

    for name in ("launcher", "together", "gpus", "jobs", *SLURM):
        if getattr(arguments, name):
            raise ConfigError(
                f"--private with --{name}: expected --private without it, since its runs go on in "
                "this process, one after another, and leave nothing elsewhere"
            )
    make = {
        "geometric": NegativeBinomial,
        "logarithmic": lambda mean: NegativeBinomial(mean, shape=0.0),
        "poisson": Poisson,
    }
    runs = make[arguments.private](10.0 if arguments.mean_runs is None else arguments.mean_runs)
    if arguments.slots is not None:
        runs = AtMost(runs, arguments.slots)
    score = parse_score(arguments.score or "test", arguments.score_noise)
    released = 1 if arguments.released is None else arguments.released
    keep_no_programs(config)
    asked = Asked(config, over, runs, score, released)
    show_private(private_sweep(asked, workdir, show_promise), workdir)
    return 0


def keep_no_programs(config: Experiment) -> None:
    """As `executor` readies JAX; but a program on disk would tell which settings were drawn."""
    import jax

    from pride_jax.runs.devices import use_devices

    use_devices(config.engine)
    jax.config.update("jax_enable_compilation_cache", False)


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
    given = {name: getattr(arguments, name) for name in SLURM}
    for name, value in given.items():
        if value is not None and launcher != "slurm":
            raise ConfigError(f"--{name} {value}: expected --launcher slurm with it")
    if launcher == "slurm":
        from pride_jax.sweeps.launch import check_counts
        from pride_jax.sweeps.slurm import Resources, on_slurm

        check_counts(gpus, jobs)
        resources = Resources(**given, gpu=gpus is not None, at_a_time=gpus or jobs)
        return on_slurm(resources, workdir / "jobs", watch)
    if launcher == "local":
        from pride_jax.sweeps.launch import launched

        return launched(workdir / "jobs", watch, gpus=gpus, jobs=jobs)
    if gpus is not None or jobs is not None:
        raise ConfigError("--gpus and --jobs: expected a --launcher, local or slurm, with them")
    from pride_jax.runs.devices import keep_programs, use_devices

    use_devices(config.engine)
    keep_programs()
    if arguments.together:
        from pride_jax.sweeps.together import together

        return together(watch)
    return one_after_another(watch)


if __name__ == "__main__":
    sys.exit(main())

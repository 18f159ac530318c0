"""Train a federated model: ``python scripts/train.py --config configs/iris_two_party.py``.

``train.py list`` shows the configs that there are. ``--resume RUN`` continues a run that died, or
makes it longer: ``--resume RUN --rounds 30``. Several processes, on one machine or many, train
together if each is started with the same command and ``--coordinator``, ``--processes`` and its own
``--process``. With ``--seeds 0..9``, ten runs are trained as one program.
"""

import argparse
import contextlib
import sys
from pathlib import Path

import checkout  # noqa: F401, since importing it finds the package
from pride_jax.errors import ConfigError, PrideError
from pride_jax.runs.folders import default_folder
from pride_jax.settings.command_line import override
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import continued, load_config
from pride_jax.settings.help import list_configs, show_help

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
_HERE = Path()
"""What ``--resume`` without a folder stands for: the folder that the config's run has."""


def parser_of() -> argparse.ArgumentParser:
    """The options of the script itself; all others are settings."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        usage="train.py --config FILE [--SECTION.SETTING VALUE …]\n"
        "       train.py --resume RUN [--rounds MORE]\n"
        "       train.py list [FOLDER]",
        description=(__doc__ or "").partition("\n\n")[2].replace("``", ""),
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="a Python file, see list; or RUN/config.json"
    )
    parser.add_argument(
        "--workdir", type=Path, metavar="DIR", help="the run's folder; runs/CONFIG-CHANGES if none"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        type=Path,
        const=_HERE,
        metavar="RUN",
        help="continue the run in this folder, or that of --config",
    )
    parser.add_argument(
        "--start-from", type=Path, metavar="RUN", help="start from that run's last parameters"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the folder's run, once this can start",
    )
    parser.add_argument(
        "--trust-code", action="store_true", help="run the code in the run's own folder"
    )
    parser.add_argument(
        "--seeds", metavar="FIRST..LAST", help="a run a seed, all as one compiled program"
    )
    parser.add_argument(
        "--coordinator", metavar="ADDRESS:PORT", help="of process 0, where it is one of several"
    )
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="how many there are")
    parser.add_argument("--process", type=int, default=0, metavar="I", help="this one's, from 0")
    parser.add_argument(
        "-h", "--help", nargs="?", const="", metavar="SECTION", help="this; or settings, or all"
    )
    return parser


def main() -> int:
    """Reads the command line, runs, and returns the exit status."""
    parser = parser_of()
    try:
        if sys.argv[1:2] == ["list"]:
            list_configs(Path(sys.argv[2]) if sys.argv[2:] else CONFIGS)
            return 0
        arguments, overrides = parser.parse_known_args()
        if arguments.help is not None:
            written = load_config(arguments.config) if arguments.config else Experiment()
            show_help(parser, override(written, overrides), arguments.help)
            return 0
        if arguments.config is None and arguments.resume in (None, _HERE):
            parser.error("expected --config FILE, or --resume RUN; --help tells more")
        written = settings_of(arguments)
        config = override(written, overrides, prog="train.py --config FILE")
        check(arguments)
        workdir = folder_of(arguments, written, config)
        with others(config, arguments):
            if arguments.seeds is not None:
                return train_seeds(config, workdir, arguments.seeds)
            if arguments.process > 0:
                return assist(config, workdir)
            return train(config, workdir, arguments)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: --resume RUN, with its folder, continues", file=sys.stderr)
        return 130


def settings_of(arguments: argparse.Namespace) -> Experiment:
    """The settings as they are written: in a config, or in the folder of the run to resume.

    Raises:
      PrideError: they cannot be read, or come with code that is not trusted.
    """
    if arguments.config is None:
        return continued(arguments.resume, arguments.trust_code)
    if is_of_run(arguments.config):
        return continued(arguments.config.parent, arguments.trust_code)
    return load_config(arguments.config)


def is_of_run(config: Path) -> bool:
    """Whether a config is what a run has left of its settings."""
    return config.name == "config.json"


def check(arguments: argparse.Namespace) -> None:
    """Refuses options that exclude each other.

    Raises:
      ConfigError: as above.
    """
    named = arguments.resume not in (None, _HERE)
    if named and arguments.workdir not in (None, arguments.resume):
        raise ConfigError(
            f"--resume {arguments.resume} with --workdir {arguments.workdir}: expected one of them"
        )
    of_run = is_of_run(arguments.config) if arguments.config is not None else named
    if arguments.trust_code and not of_run:
        raise ConfigError(
            "--trust-code: expected --resume RUN with it and no --config, or RUN/config.json"
        )
    if arguments.seeds is None:
        return
    for name in ("coordinator", "resume", "start_from", "overwrite"):
        if getattr(arguments, name):
            raise ConfigError(
                f"--seeds with --{name.replace('_', '-')}: expected --seeds alone, whose finished "
                "runs are left alone and whose others go on; other runs need another --workdir, or "
                "--seed"
            )


def folder_of(arguments: argparse.Namespace, written: Experiment, config: Experiment) -> Path:
    """The run's folder, or that of several seeds: one for each variation of a config."""
    if arguments.resume not in (None, _HERE):
        return arguments.resume
    if arguments.workdir is not None:
        return arguments.workdir
    more = ["seeds"] if arguments.seeds is not None else []
    if arguments.start_from is not None:
        more.append(f"from={arguments.start_from.name}")
    return default_folder(arguments.config, written, config, *more)


def others(
    config: Experiment, arguments: argparse.Namespace
) -> contextlib.AbstractContextManager[None]:
    """Makes JAX see its devices and, until the block ends, the other processes if there are any.

    Raises:
      PrideError: they cannot be found.
    """
    from pride_jax.runs.devices import keep_programs, use_devices
    from pride_jax.runs.hosts import joined

    use_devices(config.engine)
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


def train(config: Experiment, workdir: Path, arguments: argparse.Namespace) -> int:
    """Runs an experiment with its progress on the terminal."""
    from pride_jax.files import read_json
    from pride_jax.reporting.live import progress
    from pride_jax.reporting.terminal import (
        show_disclosure,
        show_note,
        show_result,
        show_summary,
    )
    from pride_jax.runs.devices import devices_told
    from pride_jax.runs.experiment import run

    print(f"computes on {devices_told()}")
    with progress(config) as shown:
        summary = run(
            config,
            workdir,
            resume=arguments.resume is not None,
            overwrite=arguments.overwrite,
            start_from=arguments.start_from,
            report=shown.report,
            note=show_note,
            tell=shown.tell,
        )
    show_summary(summary)
    show_disclosure(read_json(workdir / "disclosure.json"))
    show_result(summary, workdir)
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

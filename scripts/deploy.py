"""Train with real parties: ``python scripts/deploy.py --config configs/iris_two_party.py --local``.

``--local`` runs every role in processes of its own on this machine. On machines of their own, each
enrols (``--enrol``), the server collects the roster (``--enrol --of``), and then serves
(``--serve``) while the others join (``--join``); the README has the commands. Any setting of the
config can be overridden, as with train.py: by everyone in the same way.
"""

import argparse
import sys
from pathlib import Path

from pride_jax.errors import ConfigError, PrideError
from pride_jax.settings.command_line import override
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import load_config


def main() -> int:
    """Reads the command line, does what it asks, and returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, required=True)
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--local", action="store_true", help="every role on this machine")
    role.add_argument("--enrol", type=Path, metavar="FOLDER", help="make a role's own folder")
    role.add_argument("--serve", type=Path, metavar="FOLDER", help="be the server")
    role.add_argument("--join", type=Path, metavar="FOLDER", help="be a party or a key holder")
    parser.add_argument("--party", type=int, metavar="ID", help="of --enrol: a party, from 0")
    parser.add_argument("--examples", type=Path, help="of --enrol: .npz of inputs and labels")
    parser.add_argument("--of", type=Path, nargs="+", help="of --enrol: all enrolment.json")
    parser.add_argument("--host", help="of --enrol --of: the server's name or address")
    parser.add_argument("--superlink", metavar="HOST:PORT", help="of --join: the server's")
    parser.add_argument("--roster", metavar="LETTERS", help="of --join: as the others told it")
    parser.add_argument("--port", type=int, default=8000, help="of --serve")
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds to wait for replies")
    arguments, overrides = parser.parse_known_args()
    try:
        config = override(
            load_config(arguments.config),
            overrides,
            prog="deploy.py --config FILE --local|--enrol|--serve|--join …",
        )
        if arguments.enrol:
            return enrol(config, arguments)
        if arguments.join:
            return join(config, arguments)
        return run(config, arguments)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command with --resume continues", file=sys.stderr)
        return 130


def enrol(config: Experiment, arguments: argparse.Namespace) -> int:
    """Makes the folder of a party, of the key holders, or of the server."""
    import numpy as np

    from pride_jax.deploy.apart import enrol_server
    from pride_jax.deploy.enrolment import ENROLMENT, Examples, enrol_key_holders, enrol_party

    folder: Path = arguments.enrol
    if arguments.of:
        if not arguments.host:
            raise ConfigError("--enrol --of without --host: name the server as nodes reach it")
        roster = enrol_server(folder, config, arguments.of, arguments.host)
        print(f"Now copy roster.json and ca.crt from {folder} into everyone's own folder")
        print(
            f"The roster is {roster.short}. Everyone joins with --roster and what the key holder, "
            "or every other party, tells of it: not with what came from this machine"
        )
        return 0
    if arguments.party is None:
        folders = enrol_key_holders(folder, config)
        if len(folders) > 1:
            print(
                "You are the trusted dealer: move each of the folders below to its key holder's "
                f"machine and keep no copy, since any {config.aggregation.threshold} of them "
                "together read every update"
            )
    else:
        if not arguments.examples:
            raise ConfigError("--enrol --party without --examples: name the file of this party's")
        with np.load(arguments.examples) as held:
            enrol_party(folder, arguments.party, Examples(held["inputs"], held["labels"]))
        folders = [folder]
    for each in folders:
        print(f"Now hand in {each / ENROLMENT}, and nothing else of that folder")
    return 0


def join(config: Experiment, arguments: argparse.Namespace) -> int:
    """Is a party or a key holder, until it is stopped."""
    from pride_jax.deploy import apart
    from pride_jax.deploy.agreement import ROSTER
    from pride_jax.deploy.roster import load_roster

    if not arguments.superlink:
        raise ConfigError("--join without --superlink: name the server's host:port")
    print(f"The roster here is {load_roster(arguments.join / ROSTER).short}")
    if not arguments.roster:
        raise ConfigError(
            "--join without --roster: compare the line above with what the key holder, or every "
            "other party, sees there, by telephone for instance, and then give it with --roster"
        )
    return apart.join(config, arguments.join, arguments.superlink, arguments.roster)


def run(config: Experiment, arguments: argparse.Namespace) -> int:
    """Runs an experiment with real parties, its progress on the terminal."""
    from pride_jax.deploy.apart import serve_apart
    from pride_jax.deploy.local import run_local
    from pride_jax.files import read_json
    from pride_jax.reporting.live import progress
    from pride_jax.reporting.terminal import show_disclosure, show_result, show_summary
    from pride_jax.runs.devices import use_cores

    workdir = arguments.workdir or Path("runs") / f"{arguments.config.stem}_deployed"
    use_cores(config.engine.devices)
    with progress(config) as shown:
        rest = {"resume": arguments.resume, "timeout": arguments.timeout, "report": shown.report}
        if arguments.local:
            summary = run_local(config, workdir, **rest)
        else:
            summary = serve_apart(config, arguments.serve, workdir, port=arguments.port, **rest)
    show_summary(summary)
    show_disclosure(read_json(workdir / "disclosure.json"))
    show_result(summary, workdir)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Train with real parties: ``python scripts/deploy.py --local --config configs/iris_two_party.py``.

``--local`` runs every role in processes of its own on this machine. On machines of their own, each
role enrols (``--enrol``) and hands in one file; the server makes a bundle of them (``--enrol
--of``), which goes back to everyone; then the server serves (``--serve``) while the others join
(``--join``). pride_jax/deploy/README.md has the commands. Any setting of the config can be
overridden, as with train.py: by everyone in the same way.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import checkout  # noqa: F401, since importing it finds the package
from pride_jax.errors import ConfigError, PrideError
from pride_jax.settings.command_line import override
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import load_config, read_settings, trust
from pride_jax.settings.own import CODE

say = partial(print, flush=True)


def parser_of() -> argparse.ArgumentParser:
    """The options of the script itself; all others are settings."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="of --local and --enrol: what everyone has"
    )
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--local", action="store_true", help="every role on this machine")
    role.add_argument("--enrol", type=Path, metavar="FOLDER", help="make a role's own folder")
    role.add_argument("--serve", type=Path, metavar="FOLDER", help="be the server")
    role.add_argument("--join", type=Path, metavar="FOLDER", help="be a party or a key holder")
    role.add_argument("--status", type=Path, metavar="FOLDER", help="the server's: how far it is")
    parser.add_argument("--party", type=int, metavar="NUMBER", help="of --enrol: a party, from 0")
    parser.add_argument(
        "--examples",
        type=Path,
        metavar="FILE",
        help="of --enrol --party: a table, an .npz, a text, or a folder of images",
    )
    parser.add_argument(
        "--of", type=Path, nargs="+", metavar="FILE", help="of --enrol: what all have handed in"
    )
    parser.add_argument("--host", help="of --enrol --of: the server's name, as others reach it")
    parser.add_argument("--port", type=int, default=8000, help="of --enrol --of: likewise, 8000")
    parser.add_argument(
        "--test",
        type=Path,
        metavar="FILE",
        help="of --enrol --of: the server's test examples; without, see partition.held_out",
    )
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE", help="of --join: what the server has sent"
    )
    parser.add_argument(
        "--roster", metavar="LETTERS", help="of --join: as the others told it; asked for if not"
    )
    parser.add_argument("--workdir", type=Path, metavar="DIR", help="the run's folder")
    parser.add_argument("--resume", action="store_true", help="go on with a run that stopped")
    parser.add_argument(
        "--timeout", type=float, default=600.0, metavar="SECONDS", help="to wait for answers, 600"
    )
    return parser


def main() -> int:
    """Reads the command line, does what it asks, and returns the exit status."""
    parser = parser_of()
    arguments, overrides = parser.parse_known_args()
    try:
        if arguments.local or arguments.enrol:
            if arguments.config is None:
                raise ConfigError("--local and --enrol: expected --config FILE with them")
            prog = "deploy.py --config FILE --local|--enrol …"
            config = override(load_config(arguments.config), overrides, prog=prog)
            return enrol(config, arguments) if arguments.enrol else run(config, arguments)
        if arguments.config is not None or overrides:
            given = " ".join(overrides) or f"--config {arguments.config}"
            raise ConfigError(f"{given}: expected with --enrol, whose folder has the settings")
        if arguments.status:
            return tell(arguments.status)
        if arguments.join:
            return join(arguments)
        folder = arguments.serve
        return run(trust(read_settings(folder), folder / CODE), arguments)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = "the same command" + ("" if arguments.join else " with --resume")
        print(f"interrupted: {again} continues", file=sys.stderr)
        return 130


def enrol(config: Experiment, arguments: argparse.Namespace) -> int:
    """Makes the folder of a party, of the key holders, or of the server."""
    from pride_jax.deploy.apart import enrol_server
    from pride_jax.deploy.bundle import BUNDLE
    from pride_jax.deploy.enrolment import enrol_key_holders, enrol_party, enrolment_in
    from pride_jax.deploy.own_examples import read_examples

    folder: Path = arguments.enrol
    if arguments.of:
        if not arguments.host:
            raise ConfigError("--enrol --of without --host: name the server as nodes reach it")
        roster = enrol_server(
            folder, config, arguments.of, arguments.host, arguments.port, arguments.test
        )
        say(f"Now send {folder / BUNDLE} to everyone, and start: deploy.py --serve {folder}")
        say(
            f"The roster is {roster.short}. Everyone joins with what the key holder, or every "
            "other party, tells of it: not with what came from this machine"
        )
        return 0
    if arguments.party is None:
        folders = enrol_key_holders(folder, config)
        if len(folders) > 1:
            say(
                "You are the trusted dealer: move each of the folders below to its key holder's "
                f"machine and keep no copy, since any {config.aggregation.threshold} of them "
                "together read every update"
            )
    else:
        if not arguments.examples:
            raise ConfigError("--enrol --party without --examples: name the file of this party's")
        own = read_examples(arguments.examples, config)
        enrol_party(folder, config, arguments.party, own)
        say(f"{arguments.examples}: {len(own.train.targets)} examples, which stay in {folder}")
        folders = [folder]
    for each in folders:
        say(f"Now hand in {enrolment_in(each)}, and nothing else of that folder")
    return 0


def join(arguments: argparse.Namespace) -> int:
    """Is a party or a key holder until the run has ended."""
    from pride_jax.deploy import apart
    from pride_jax.deploy.bundle import read_bundle

    if not arguments.bundle:
        raise ConfigError("--join without --bundle: name the file that the server has sent")
    say(f"The roster here is {read_bundle(arguments.bundle).roster.short}")
    told = arguments.roster
    if not told and sys.stdin.isatty():
        told = input("Ask the key holder, or every other party, for theirs, and type it: ")
    if not told:
        raise ConfigError(
            "--join without --roster: compare the line above with what the key holder, or every "
            "other party, sees there, by telephone for instance, and then give it with --roster"
        )
    return apart.join(arguments.join, arguments.bundle, told, say)


def tell(folder: Path) -> int:
    """Shows how far a run is."""
    from pride_jax.deploy.status import status

    for line in status(folder):
        say(line)
    return 0


def run(config: Experiment, arguments: argparse.Namespace) -> int:
    """Runs an experiment with real parties, its progress on the terminal."""
    from pride_jax.deploy.agreement import ROSTER
    from pride_jax.deploy.apart import serve_apart
    from pride_jax.deploy.local import run_local
    from pride_jax.deploy.roster import load_roster
    from pride_jax.deploy.status import without_model
    from pride_jax.files import read_json
    from pride_jax.reporting.live import progress
    from pride_jax.reporting.terminal import show_disclosure, show_result, show_summary
    from pride_jax.runs.devices import use_devices

    name = arguments.config.stem if arguments.local else arguments.serve.name
    workdir = arguments.workdir or Path("runs") / f"{name}_deployed"
    use_devices(config.engine)
    with progress(config) as shown:
        rest = {"resume": arguments.resume, "timeout": arguments.timeout, "report": shown.report}
        if arguments.local:
            summary = run_local(config, workdir, **rest)
        else:
            summary = serve_apart(config, arguments.serve, workdir, **rest)
    show_summary(summary)
    show_disclosure(read_json(workdir / "disclosure.json"))
    if arguments.serve:
        for line in without_model(arguments.serve, load_roster(arguments.serve / ROSTER)):
            say(line)
    show_result(summary, workdir)
    return 0


if __name__ == "__main__":
    sys.exit(main())

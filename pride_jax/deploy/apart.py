"""Every role on a machine of its own: what each does there."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from pride_jax.data.dataset import Dataset
from pride_jax.data.datasets import is_path
from pride_jax.deploy.agreement import (
    CONFIG,
    ROSTER,
    Agreement,
    check_key_holders,
    load_agreement,
    write_config,
)
from pride_jax.deploy.bundle import BUNDLE, Bundle, read_bundle, save_bundle, unpack
from pride_jax.deploy.certificates import AUTHORITY, make_certificates
from pride_jax.deploy.comparison import check_enrolled, compare
from pride_jax.deploy.conduct import conduct
from pride_jax.deploy.enrolment import (
    SECRETS,
    collect_roster,
    common_set,
    count_of,
    enrolment_in,
    keep_examples,
    load_examples,
)
from pride_jax.deploy.finishing import FINISHED, lacking
from pride_jax.deploy.introduction import everyone
from pride_jax.deploy.joining import LOG, Say, alone, take_part, the_end, wait_for_server
from pride_jax.deploy.own_examples import check_classes, read_examples, to_test_on
from pride_jax.deploy.pinned import pin
from pride_jax.deploy.processes import APP, free_ports, role_command, running
from pride_jax.deploy.proxy import proxy_command
from pride_jax.deploy.roster import Roster, load_roster, save_roster
from pride_jax.deploy.scores import are_tested_at_parties
from pride_jax.errors import ConfigError, RunError
from pride_jax.files import explained, read_json
from pride_jax.reporting import metrics
from pride_jax.runs.experiment import Summary
from pride_jax.runs.resuming import is_finished
from pride_jax.settings import build
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import read_settings, trust
from pride_jax.settings.own import CODE


def enrol_server(
    folder: Path,
    config: Experiment,
    enrolments: list[Path],
    host: str,
    port: int,
    test: Path | None = None,
) -> Roster:
    """Makes the server's folder: certificates, and the roster of all who have enrolled.

    ``bundle.json`` goes from there to everyone, and is all that they need.

    Args:
      folder: new.
      config: the settings.
      enrolments: everyone's, of the folders that they enrolled in.
      host: name or address under which nodes reach the server.
      port: on which they do.
      test: the server's own examples to test on. If not given, parties test on what they hold out,
        or else the server on those of the data set that the config names.

    Returns:
      The roster.

    Raises:
      PrideError: the folder cannot be made, an enrolment is missing or there twice, or examples
        differ in kind.
    """
    own = None
    if test is not None:
        own = read_examples(test, config)
    elif are_tested_at_parties(config):
        own = common_set(enrolments)
    dataset = _of_the_config(config) if own is None else to_test_on(own)
    roster = collect_roster(enrolments, dataset, config.code.digests)
    check_key_holders(config, roster)
    expected, found = count_of(config), len(roster.parties)
    if expected not in (0, found):
        raise ConfigError(
            f"{found} parties have enrolled, expected {expected} (partition.clients): collect "
            "everyone's enrolment, or enrol all with another number"
        )
    with explained("write to", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RunError(f"{folder} is not empty: enrol in a new folder")
    make_certificates(folder, [host])
    save_roster(folder / ROSTER, roster)
    write_config(folder, config)
    if own is not None:
        keep_examples(folder, own)
    save_bundle(folder, config, roster, f"{host}:{port}")
    return roster


def _of_the_config(config: Experiment) -> Dataset:
    """The data set that the config names.

    Raises:
      ConfigError: it is a file that is not here.
    """
    if is_path(config.data.name) and not Path(config.data.name).expanduser().exists():
        raise ConfigError(
            f"data.name={config.data.name!r} is not here: expected --test FILE, the server's own "
            "examples to test on, or, if nothing is private, partition.held_out for parties to "
            "test on their own"
        )
    return build.build_dataset(config)


def serve_apart(
    config: Experiment,
    folder: Path,
    workdir: Path,
    *,
    resume: bool = False,
    timeout: float = 600.0,
    report: Callable[[metrics.Row], None] | None = None,
) -> Summary:
    """As `experiment.run`, with parties that join from their own machines.

    Of a run that has ended, who was not there at its end receives the model.

    They reach this machine's port of the bundle; the SuperLink itself is reached from here alone.

    Args:
      config: the settings.
      folder: the server's, from `enrol_server`.
      workdir: the run's folder.
      resume: continue from the latest checkpoint.
      timeout: seconds to wait for an answer.
      report: called with each new row of the metrics.

    Raises:
      PrideError: the run cannot start, resume or go on; what was written stays usable.
    """
    if is_finished(config, workdir, resume):
        if not lacking(folder, everyone(load_roster(folder / ROSTER))):
            return read_json(workdir / "summary.json")
        # Its rows have been seen: what is left is to hand out the model.
        report = None
    _need(folder, SECRETS, ROSTER, AUTHORITY, BUNDLE)
    load_agreement(folder)
    port = int(read_bundle(folder / BUNDLE).address.rpartition(":")[2])
    (link,) = free_ports(1)
    door = proxy_command(folder, port, link)

    def opened(_: str) -> contextlib.AbstractContextManager[object]:
        # Once nodes are registered: who came before would be turned away.
        return running(folder, door, "proxy.log")

    return conduct(config, folder, workdir, port=link, nodes=opened, timeout=timeout, report=report)


def join(folder: Path, bundle: Path, told: str, say: Say) -> int:
    """Runs a role until its run ends: waits for the server, shows the rounds, keeps the model.

    Args:
      folder: the role's own, from ``--enrol``.
      bundle: the server's ``bundle.json``.
      told: `Roster.short` as the others told it, not through the server.
      say: shows a line.

    Returns:
      0 once the run has ended.

    Raises:
      PrideError: the folder is not complete or has joined already, the bundle contradicts what
        the role enrolled with, the roster is not the others', or has other keys than this role's
        own, or the server is another, or its clock.
    """
    given = read_bundle(bundle)
    _need(folder, SECRETS, CONFIG)
    with alone(folder):
        # First: a roster that is not the others' must not come into the folder.
        compare(folder, given.roster, told)
        agreement = agreed(folder, given)
        if (folder / FINISHED).exists():
            say(the_end(folder))
            return 0
        pin(folder, APP)
        wait_for_server(given.address, folder / AUTHORITY, say)
        (port,) = free_ports(1)
        command = role_command(folder, given.address, port)
        with running(folder, command, LOG) as process:
            return take_part(folder, agreement, given.address, process, say)


def agreed(folder: Path, bundle: Bundle) -> Agreement:
    """What a role knows, once the bundle is in its folder.

    Raises:
      PrideError: see `join`.
    """
    unpack(bundle, folder, trust(read_settings(folder), folder / CODE))
    agreement, entry = load_agreement(folder), read_json(enrolment_in(folder))
    check_enrolled(folder, agreement.roster, entry["role"], entry["number"])
    if entry["role"] == "party":
        check_classes(load_examples(folder).targets, agreement.roster.classes)
    return agreement


def _need(folder: Path, *names: str) -> None:
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise RunError(
            f"{folder} lacks {', '.join(missing)}: expected a folder that --enrol has made"
        )

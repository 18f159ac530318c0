"""Every role on a machine of its own: what each does there."""

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path

from pride_jax.deploy.agreement import ROSTER, check_key_holders, load_agreement, write_config
from pride_jax.deploy.certificates import AUTHORITY, make_certificates
from pride_jax.deploy.comparison import check_enrolled, compare
from pride_jax.deploy.conduct import conduct
from pride_jax.deploy.enrolment import ENROLMENT, SECRETS, collect_roster
from pride_jax.deploy.pinned import pin
from pride_jax.deploy.processes import APP, environment, free_ports, role_command, running
from pride_jax.deploy.proxy import proxy_command
from pride_jax.deploy.roster import Roster, save_roster
from pride_jax.errors import RunError
from pride_jax.files import explained, read_json
from pride_jax.reporting import metrics
from pride_jax.runs.experiment import Summary
from pride_jax.runs.resuming import is_finished
from pride_jax.settings import build
from pride_jax.settings.experiment import Experiment


def enrol_server(folder: Path, config: Experiment, enrolments: list[Path], host: str) -> Roster:
    """Makes the server's folder: certificates, and the roster of all who have enrolled.

    ``roster.json`` and ``ca.crt`` go from there into everyone's own folder.

    Args:
      folder: new.
      config: the settings.
      enrolments: everyone's ``enrolment.json``.
      host: name or address under which nodes reach the server.

    Returns:
      The roster.

    Raises:
      PrideError: the folder cannot be made, or an enrolment is missing or there twice.
    """
    roster = collect_roster(enrolments, build.build_dataset(config), config.code.digests)
    check_key_holders(config, roster)
    with explained("write to", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RunError(f"{folder} is not empty: enrol in a new folder")
    make_certificates(folder, [host])
    save_roster(folder / ROSTER, roster)
    return roster


def serve_apart(
    config: Experiment,
    folder: Path,
    workdir: Path,
    *,
    port: int,
    resume: bool = False,
    timeout: float = 600.0,
    report: Callable[[metrics.Row], None] | None = None,
) -> Summary:
    """As `experiment.run`, with parties that join from their own machines.

    Args:
      config: the settings.
      folder: the server's, from `enrol_server`.
      workdir: the run's folder.
      port: on which nodes reach this machine; the SuperLink itself is reached from here alone.
      resume: continue from the latest checkpoint.
      timeout: seconds to wait for an answer.
      report: called with each new row of the metrics.

    Raises:
      PrideError: the run cannot start, resume or go on; what was written stays usable.
    """
    if is_finished(config, workdir, resume):
        return read_json(workdir / "summary.json")
    _need(folder, SECRETS, ROSTER, AUTHORITY)
    write_config(folder, config)
    load_agreement(folder)
    (link,) = free_ports(1)
    with running(folder, proxy_command(folder, port, link), "proxy.log"):
        return conduct(config, folder, workdir, port=link, timeout=timeout, report=report)


def join(config: Experiment, folder: Path, address: str, told: str) -> int:
    """Runs a role, until it is stopped.

    Args:
      config: the settings; the server's must be the same.
      folder: the role's own, with everyone's ``roster.json`` and the server's ``ca.crt``.
      address: the SuperLink's, as host:port.
      told: `Roster.short` as the others told it, not through the server.

    Raises:
      PrideError: the folder is not complete, or what is in it contradicts the config, or the
        roster is not the others', or has other keys than this role's own.
    """
    _need(folder, SECRETS, ENROLMENT, ROSTER, AUTHORITY)
    write_config(folder, config)
    roster, entry = load_agreement(folder).roster, read_json(folder / ENROLMENT)
    check_enrolled(folder, roster, entry["role"], entry["number"])
    compare(folder, roster, told)
    pin(folder, APP)
    (port,) = free_ports(1)
    command = role_command(folder, address, port)
    with contextlib.suppress(KeyboardInterrupt):
        return subprocess.call(command, env=environment(folder))
    return 0


def _need(folder: Path, *names: str) -> None:
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise RunError(
            f"{folder} lacks {', '.join(missing)}: --enrol makes the folder, and the server's "
            f"{ROSTER} and {AUTHORITY} go into everyone's"
        )

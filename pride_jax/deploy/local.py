"""Every role as processes of their own on this machine, over loopback."""

import contextlib
import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pride_jax.data.dataset import Dataset
from pride_jax.data.examples import Examples, PublishedSet
from pride_jax.data.partition import Partition
from pride_jax.deploy.agreement import (
    DERIVED,
    ROSTER,
    check_protocol,
    load_agreement,
    write_config,
)
from pride_jax.deploy.certificates import AUTHORITY, make_certificates
from pride_jax.deploy.comparison import compare
from pride_jax.deploy.conduct import conduct
from pride_jax.deploy.enrolment import (
    collect_roster,
    common_set,
    enrol_key_holders,
    enrol_party,
    enrolment_in,
    holder_folder,
    keep_examples,
)
from pride_jax.deploy.pinned import pin
from pride_jax.deploy.processes import APP, LOOPBACK, free_ports, role_command, running
from pride_jax.deploy.roster import Roster, load_roster, save_roster
from pride_jax.deploy.scores import are_tested_at_parties
from pride_jax.files import read_json
from pride_jax.reporting import metrics
from pride_jax.runs.experiment import Summary
from pride_jax.runs.resuming import is_finished
from pride_jax.settings import build
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.protocols import key_holders

DEPLOYMENT = "deployment"
_KEY_HOLDER = "key-holder"


def run_local(
    config: Experiment,
    workdir: Path,
    *,
    resume: bool = False,
    timeout: float = 600.0,
    report: Callable[[metrics.Row], None] | None = None,
) -> Summary:
    """As `experiment.run`, with every role in processes of its own on this machine.

    Beside what a run leaves, ``deployment`` holds each role's folder, with its logs.

    Args:
      config: the settings.
      workdir: the run's folder.
      resume: continue from the latest checkpoint.
      timeout: seconds to wait for an answer.
      report: called with each new row of the metrics.

    Raises:
      PrideError: the run cannot start, resume or go on; what was written stays usable.
    """
    if is_finished(config, workdir, resume):
        return read_json(workdir / "summary.json")
    folder = workdir / DEPLOYMENT
    if not folder.exists():
        enrol_all(config, folder)
    server = folder / "server"
    roster = load_roster(server / ROSTER)
    (port,) = free_ports(1)
    nodes = functools.partial(supernodes, folder, roster)
    return conduct(config, server, workdir, port=port, nodes=nodes, timeout=timeout, report=report)


def enrol_all(config: Experiment, folder: Path) -> None:
    """Makes every role's folder, as each would on its own machine, and deals the examples.

    Raises:
      PrideError: the settings are impossible, or a folder cannot be written.
    """
    check_protocol(config)
    unfinished = folder.with_suffix(".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    # When a role's folder was changed tells that the role was called.
    unfinished.mkdir(mode=0o700, parents=True)
    dataset = build.build_dataset(config)
    partition, held = build.build_partitions(config, dataset)
    enrolments = []
    if key_holders(config.aggregation).numbers:
        holders = enrol_key_holders(unfinished / _KEY_HOLDER, config)
        enrolments += [enrolment_in(holder) for holder in holders]
    for id_, mine in enumerate(zip(_of_each(partition), _of_each(held), strict=True)):
        own = _dealt(dataset, *mine)
        enrol_party(unfinished / f"party-{id_}", config, id_, own)
        enrolments.append(enrolment_in(unfinished / f"party-{id_}"))
    server = unfinished / "server"
    make_certificates(server, [LOOPBACK])
    roster = collect_roster(enrolments, dataset, config.code.digests)
    authority = (server / AUTHORITY).read_bytes()
    write_config(server, config)
    if are_tested_at_parties(config):
        keep_examples(server, common_set(enrolments))
    others = [path.parent for path in enrolments]
    for each in (server, *others):
        save_roster(each / ROSTER, roster)
        (each / AUTHORITY).write_bytes(authority)
    load_agreement(server)
    for each in others:
        # Worked out once, and the same for everybody.
        shutil.copy(server / DERIVED, each)
        # Here one person is everybody, and has compared what everybody has.
        compare(each, roster, roster.short)
    unfinished.rename(folder)


def _of_each(partition: Partition) -> list[np.ndarray]:
    """Each client's examples."""
    return np.split(partition.index, np.cumsum(partition.sizes)[:-1])


def _dealt(dataset: Dataset, index: np.ndarray, held_out: np.ndarray) -> PublishedSet:
    return PublishedSet(
        dataset.name,
        Examples(dataset.train_inputs[index], dataset.train_targets[index]),
        Examples(dataset.train_inputs[held_out], dataset.train_targets[held_out]),
        dataset.outputs,
        dataset.shift,
        dataset.scale,
        class_names=dataset.class_names,
        input_names=dataset.input_names,
    )


@contextlib.contextmanager
def supernodes(folder: Path, roster: Roster, address: str, app: Path = APP) -> Iterator[None]:
    """Everyone, until the block ends."""
    roles = [folder / f"party-{party.id}" for party in roster.parties]
    roles += [holder_folder(folder / _KEY_HOLDER, each.number) for each in roster.key_holders]
    with contextlib.ExitStack() as stack:
        for role, port in zip(roles, free_ports(len(roles)), strict=True):
            pin(role, app)
            command = role_command(role, address, port)
            stack.enter_context(running(role, command, "role.log"))
        yield

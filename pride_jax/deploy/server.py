"""The server of real parties: it samples, has a round gathered and its sum opened, and steps."""

import functools
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh

from pride_jax.aggregation.refusals import BurntError
from pride_jax.aggregation.simulation import Transport
from pride_jax.data.dataset import Dataset
from pride_jax.deploy import derived, training
from pride_jax.deploy.agreement import Agreement, load_agreement
from pride_jax.deploy.enrolment import load_test_set
from pride_jax.deploy.finishing import finish, keep_received, lacking
from pride_jax.deploy.gathering import Draw
from pride_jax.deploy.introduction import Ask, everyone, introduced, introduced_late
from pride_jax.deploy.journal import Journal, journal
from pride_jax.deploy.network import Network
from pride_jax.deploy.opening import sum_of
from pride_jax.deploy.outcome import conclude, take_room
from pride_jax.deploy.scores import of_scores
from pride_jax.deploy.testing import tested_by_parties
from pride_jax.engine.evaluation import Metrics, evaluator
from pride_jax.engine.federation import starting, without_clients
from pride_jax.engine.rounds import Algorithm, RoundInfo, ServerState, no_program, repeated
from pride_jax.engine.secure import Collected, host_round, unopened
from pride_jax.engine.server import Server
from pride_jax.engine.states import elsewhere
from pride_jax.errors import PrideError, TooFewError
from pride_jax.files import claimed, read_json
from pride_jax.methods.method import Sent, parts
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.reporting.watching import need_extras
from pride_jax.runs.checkpoints import checkpoints, named_leaves
from pride_jax.runs.devices import keep_programs, use_devices
from pride_jax.runs.experiment import run_in
from pride_jax.runs.figures import own_folder
from pride_jax.runs.models import seen_in
from pride_jax.runs.prepared import Prepared, RealParties
from pride_jax.runs.refusals import note_refusal
from pride_jax.runs.resuming import SUMMARY
from pride_jax.settings import build
from pride_jax.task import Task
from pride_jax.types import Cohort, Params

SERVER = "server.json"
PROCESS = "server.pid"
_LOOK_SECONDS = 0.5


def serve(folder: Path, network: Network) -> None:
    """Runs an experiment with real parties; how it ended is in ``outcome.json``.

    Args:
      folder: the server's own: config, roster, and in ``server.json`` the run's folder and how
        long to wait for replies.
      network: reaches the nodes.

    Raises:
      RunError: another process serves from the folder.
    """
    with claimed(folder):
        ended = threading.Event()
        threading.Thread(target=_end_with_parent, args=(os.getppid(), ended), daemon=True).start()
        take_room(folder)
        (folder / PROCESS).write_text(str(os.getpid()))
        wrong: str | None = None
        try:
            _serve(folder, network)
        except PrideError as error:
            wrong = str(error)
        except BaseException as error:
            wrong = f"{type(error).__name__}: {error}"
            raise
        finally:
            ended.set()
            conclude(folder, wrong)


def _end_with_parent(parent: int, ended: threading.Event) -> None:
    """Ends this process when the one that started it is gone.

    Of a server that was killed, it would wait for answers for ever and keep the folder claimed.
    """
    while not ended.wait(_LOOK_SECONDS):
        if os.getppid() != parent:
            os._exit(1)


def _serve(folder: Path, network: Network) -> None:
    settings, agreement = read_json(folder / SERVER), load_agreement(folder)
    use_devices(agreement.config.engine)
    keep_programs()
    workdir = Path(settings["workdir"])
    notes = own_folder(workdir, agreement.config.privacy.hides)
    if (workdir / SUMMARY).exists():
        names = lacking(folder, everyone(agreement.roster))
        ask = introduced_late(agreement, network, settings, notes, names)
    else:
        ask = introduced(agreement, network, settings, notes)
        dataset = load_test_set(folder, agreement.config, agreement.roster)
        run_in(prepare(agreement, ask, workdir, dataset), workdir)
    record = finish(workdir, agreement.config.rounds, _last_sent(agreement, workdir))
    keep_received(folder, ask.end(record))


def prepare(agreement: Agreement, ask: Ask, workdir: Path, dataset: Dataset) -> Prepared:
    """Everything a run with real parties is made of, as far as the server has it.

    Args:
      agreement: what everyone knows.
      ask: reaches the others.
      workdir: the run's folder.
      dataset: has the examples to test on; if none, parties test on what they hold out.
    """
    need_extras(agreement.config.watch)
    notes = own_folder(workdir, agreement.config.privacy.hides)
    config, roster, plan = agreement.config, agreement.roster, agreement.plan
    mesh = build.build_mesh(config.engine)
    task = training.build_task(config, roster)
    server, clients = derived.halves(config, roster, plan)
    secure = derived.secure_aggregation(config, agreement.protocol, agreement.public_key)
    collect = functools.partial(
        _collect,
        agreement,
        ask,
        journal(workdir / "sums", config.evaluation.every),
        notes,
        server,
    )
    one_round = host_round(server, jnp.asarray(roster.sizes, jnp.int32), secure, collect)
    states = elsewhere()
    algorithm = Algorithm(
        init=starting(server, clients, states, mesh),
        round=one_round,
        rounds=repeated(one_round),
        rounds_on=no_program,
        params=server.params,
        states=states,
    )
    return Prepared(
        config=config,
        task=task,
        length=server.length,
        parts=tuple(parts(server.update)),
        secure=secure,
        plan=plan,
        algorithm=algorithm,
        evaluate=_test(agreement, ask, workdir, dataset, task, mesh),
        sizes=np.asarray(roster.sizes),
        holders=1,
        test_examples=len(dataset.test_targets) or sum(each.held_out for each in roster.parties),
        seen=seen_in(dataset),
        inputs=lambda: roster.digest,
        hyper={},
        simulated=RealParties(),
    )


def _test(
    agreement: Agreement, ask: Ask, workdir: Path, dataset: Dataset, task: Task, mesh: Mesh
) -> Callable[[Params, int], Metrics]:
    """Tests parameters: on the server's own examples, or on what parties hold out."""
    config = agreement.config
    if not len(dataset.test_targets):
        kept = journal(workdir / "sums-of-scores", config.evaluation.every)
        notes = own_folder(workdir, config.privacy.hides)
        return tested_by_parties(of_scores(agreement), ask, kept, notes)
    test = evaluator(task, dataset, mesh)
    return lambda params, _: test(params)


def _collect(
    agreement: Agreement,
    ask: Ask,
    kept: Journal,
    notes: Path,
    server: Server,
    state: ServerState,
    cohort: Cohort,
) -> Collected:
    """Has a cohort of real parties train, and its sum opened: once a round, whatever dies."""
    round_, start = int(state.round), time.perf_counter()
    ids, present = jax.device_get(cohort)
    called = ids[present].tolist()
    draw = Draw(round_, _draw_of(agreement.plan, state), called)

    def nothing(refused: bool) -> Collected:
        transport = Transport(len(called), 0, None, None, 0.0, 0.0)
        info = _info(0, transport, 0.0)._replace(refused=jnp.int32(refused))
        seconds = time.perf_counter() - start
        return unopened(server.length, info, transport, seconds, state.clients)

    given_up = kept.unopened(round_, draw.name)
    if given_up is not None:
        return nothing(given_up["refused"])
    if len(called) < agreement.rules.smallest_cohort:
        # Whoever samples so few has nobody to wait for.
        kept.give_up(round_, draw.name, refused=False)
        return nothing(False)
    try:
        done = sum_of(agreement, ask, kept, notes, draw, lambda: _params(server, state))
    except TooFewError:
        if agreement.plan.must_open:
            raise
        # Before anything is released: the same noise must never meet another sum.
        kept.give_up(round_, draw.name, refused=False)
        return nothing(False)
    except BurntError as error:
        note_refusal(notes, round_, error)
        kept.give_up(round_, draw.name, refused=True)
        return nothing(True)
    total = agreement.plan.shares(os.urandom).centred(done.total)
    lost = done.called - len(done.contributors)
    transport = Transport(lost, done.bytes_sent, None, None, done.combining, done.opening)
    info = _info(len(done.contributors), transport, done.training)
    return Collected(total, done.contributors, info, state.clients)


def _params(server: Server, state: ServerState) -> bytes:
    """What parties train from."""
    return _flat(jax.device_get(server.tell(without_clients(state)).sent))


def _flat(sent: Sent) -> bytes:
    return np.asarray(ravel_pytree(sent)[0]).astype("<f4").tobytes()


def _last_sent(agreement: Agreement, workdir: Path) -> bytes:
    """What parties would train from after the last round, from its checkpoint."""
    _, clients = derived.halves(agreement.config, agreement.roster, agreement.plan)
    method, folder = clients.method({}), checkpoints(workdir / "checkpoints")
    own = jax.eval_shape(method.init, jax.random.key(0))
    saved = folder.read(folder.latest() or 0)
    leaves = [jnp.asarray(saved[name]) for name in named_leaves({"own": own})]
    return _flat(method.send(jax.tree.unflatten(jax.tree.structure(own), leaves)))


def _draw_of(plan: Plan | NoPlan, state: ServerState) -> str:
    """A name of the keys that cohorts and noise come from, which tells nothing of them.

    Where the server draws no noise, a sum that was opened may be released again: it has its noise.
    """
    if not plan.draws_from_key:
        return "any"
    words = np.asarray(jax.random.key_data(state.keys.noise.value))
    return hashlib.sha256(b"pride_jax: draw of a journal" + words.tobytes()).hexdigest()[:32]


def _info(added: int, transport: Transport, seconds: float) -> RoundInfo:
    """What the server knows of a round: parties keep to themselves how they trained."""
    none = jnp.zeros((), jnp.int32)
    return RoundInfo(
        clients=jnp.int32(added),
        empty=none,
        examples=None,
        loss=None,
        nonfinite=None,
        clipped=None,
        fitted=None,
        fitted_parts=None,
        unopened=none,
        refused=none,
        transport=transport,
        train_seconds=seconds,
    )

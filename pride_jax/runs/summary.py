"""What a run tells of itself: a row of figures an evaluation, and its summary."""

import hashlib
import statistics
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pride_jax.data.dataset import Dataset
from pride_jax.data.federated import federate
from pride_jax.data.partition import with_pooled
from pride_jax.engine.breakdown import by_class, by_client, by_group
from pride_jax.engine.comparison import train_alone
from pride_jax.engine.evaluation import Metrics, group_spread, headline, spread_of
from pride_jax.engine.rounds import RoundInfo, ServerState
from pride_jax.errors import DivergedError
from pride_jax.progress import counted
from pride_jax.reporting import metrics
from pride_jax.runs import hosts
from pride_jax.runs.hosts import Action, Order
from pride_jax.runs.prepared import Prepared, RealParties, Simulated, simulated_of
from pride_jax.settings import learning
from pride_jax.types import Params

Summary = dict[str, Any]
"""What ``summary.json`` holds."""

_OWN_TIMES = ("seconds_per_round", "seconds_elapsed")
_NOT_COMPARED: Summary = {
    "central": None,
    "alone": None,
    "confusion_central": None,
    "confusions_alone": None,
}


def row_of(prepared: Prepared, state: ServerState, info: RoundInfo | None) -> metrics.Row:
    """What is recorded of the rounds since the last evaluation.

    Raises:
      DivergedError: training has diverged.
    """
    round_ = int(state.round)
    measured = prepared.evaluate(prepared.algorithm.params(state), round_)
    nonfinite = _count(info.nonfinite) if info else 0
    diverged = info is not None and 0 < int(info.clients) == nonfinite
    # Of a private run, that it goes on must tell nothing of who was called.
    counted = not prepared.config.privacy.hides
    if (diverged and counted) or (measured.told and not np.isfinite(measured.loss)):
        broken = f" and {nonfinite or 0} updates were NaN or infinite" if counted else ""
        raise DivergedError(
            f"Training diverged: by round {round_} the test loss is {measured.loss}{broken}. Lower "
            "client.learning_rate or server.learning_rate, or set privacy.clipping_norm"
        )
    row: metrics.Row = {"round": round_, **_tested(measured)}
    if info is None:
        return row
    transport = info.transport
    row |= {
        "train_loss": _mean_loss(info),
        "clients": int(info.clients),
        "empty_clients": int(info.empty),
        "nonfinite_updates": _count(info.nonfinite),
        "clipped_updates": _count(info.clipped),
        "fitted_updates": _count(info.fitted),
        "unopened_sums": int(info.unopened),
        "bytes_per_client_round": 4 * prepared.length,
    }
    if len(prepared.parts) > 1 and info.fitted_parts is not None:
        row["fitted_parts"] = dict(zip(prepared.parts, info.fitted_parts.tolist(), strict=True))
    if transport is not None:
        row["bytes_per_client_round"] = transport.bytes_sent // max(1, int(info.clients))
        row["lost_messages"] = transport.lost
        row["refused_sums"] = int(info.refused)
        row["seconds_train"] = info.train_seconds
        row |= {f"seconds_{stage}": value for stage, value in transport.seconds()}
    return row


def _tested(measured: Metrics) -> dict[str, float | None]:
    """The scores on the test examples, by name; null where nobody has told any."""
    return {
        f"test_{name}": value if measured.told else None for name, value in measured.means.items()
    }


def _mean_loss(info: RoundInfo) -> float | None:
    """Null where nobody tells, nobody trained, or a client whose update was thrown away has NaN."""
    if info.loss is None or info.examples is None or not float(info.examples):
        return None
    return float(info.loss) / float(info.examples) if np.isfinite(info.loss) else None


def _count(counted: Array | None) -> int | None:
    """What was counted; null where real clients keep it to themselves."""
    return None if counted is None else int(counted)


def summarize(prepared: Prepared, state: ServerState, rows: list[metrics.Row]) -> Summary:
    """The summary of a finished run, without what its privacy cost."""
    config, sizes = prepared.config, prepared.sizes
    params = prepared.algorithm.params(state)
    measured = prepared.evaluate(params, int(state.round))
    rounds = rows[1:]
    return {
        **_tested(measured),
        "rounds": rounds[-1]["round"],
        "rounds_to_target": metrics.rounds_to(rows, config.evaluation.target_accuracy),
        "seconds_total": rows[-1]["seconds_elapsed"],
        "seconds_per_round": statistics.median(row["seconds_per_round"] for row in rounds),
        "seconds_by_stage": _stages(rounds),
        **{
            name: sum(row.get(name, 0) for row in rounds)
            for name in ("lost_messages", "refused_sums")
        },
        "bytes_per_client_round": rounds[-1]["bytes_per_client_round"],
        "parameters": prepared.length,
        "parameters_sha256": _fingerprint(params),
        "clients": len(sizes),
        "empty_clients": int(np.sum(sizes == 0)),
        "test_examples": prepared.test_examples,
        **{
            name: _sum(row[name] for row in rounds)
            for name in ("nonfinite_updates", "clipped_updates", "fitted_updates", "unopened_sums")
        },
        **_examined(prepared, state, measured),
        "confusion": measured.confusion.tolist(),
        "by_class": by_class(measured.confusion, prepared.seen.class_names),
    }


def _sum(counts: Iterable[int | None]) -> int | None:
    """Null if any is."""
    told = list(counts)
    return None if None in told else sum(count or 0 for count in told)


def _examined(prepared: Prepared, state: ServerState, measured: Metrics) -> Summary:
    """What takes all clients' examples to tell, or nulls where clients are real."""
    score = headline(measured.means)
    if isinstance(prepared.simulated, RealParties):
        return {
            "train_examples": int(np.sum(prepared.sizes)),
            "unused_examples": 0,
            f"{score}_over_clients": None,
            f"{score}_over_groups": None,
            "held_out": None,
            "by_client": [],
            "by_group": [],
            "data_notes": [],
            **_NOT_COMPARED,
        }
    dataset, partition, held, _, review = prepared.simulated
    hosts.tell(Order(Action.REVIEW))
    totals = review(state)
    spreads = {name: spread_of(each)._asdict() for name, each in totals.items()}
    training = spreads.pop("training")
    used = np.union1d(partition.index, held.index)
    return {
        "train_examples": len(dataset.train_targets),
        "unused_examples": len(dataset.train_targets) - len(used),
        f"{score}_over_clients": training,
        "held_out": spreads or None,
        "by_client": by_client(partition.sizes, held.sizes, totals, _client_names(prepared)),
        "data_notes": list(dataset.notes),
        **_by_group(dataset, measured, score),
        **_compare(prepared, prepared.simulated),
    }


def _client_names(prepared: Prepared) -> tuple[str, ...]:
    """Of clients that are groups with names, by their numbers; none of others."""
    dataset = simulated_of(prepared).dataset
    groups = dataset.groups
    if prepared.config.partition.kind != "groups" or groups is None or not dataset.group_names:
        return ()
    return tuple(dataset.group_names[group] for group in np.unique(groups))


def _by_group(dataset: Dataset, measured: Metrics, score: str) -> Summary:
    """The score over who made the test examples, and of each; nothing where nobody knows."""
    groups = dataset.test_groups
    if groups is None:
        return {f"{score}_over_groups": None, "by_group": []}
    return {
        f"{score}_over_groups": group_spread(measured.scores, groups)._asdict(),
        "by_group": by_group(measured.scores, groups, dataset.group_names),
    }


def _fingerprint(params: Params) -> str:
    """Equal for parameters that are equal in every bit."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _stages(rounds: list[metrics.Row]) -> dict[str, float]:
    """Seconds a round of each stage of the secure sum; none where the device adds floats.

    Medians over evaluations: the first round compiles.
    """
    lengths = np.diff([0, *(row["round"] for row in rounds)])
    stages = [name for name in rounds[-1] if name.startswith("seconds_") and name not in _OWN_TIMES]
    return {
        name.removeprefix("seconds_"): float(np.median([row[name] for row in rounds] / lengths))
        for name in stages
    }


def _compare(prepared: Prepared, simulated: Simulated) -> Summary:
    """How well a central model and each client alone do, or nulls where nobody asks."""
    config = prepared.config
    if not config.evaluation.comparison:
        return _NOT_COMPARED
    init_key, key = jax.random.split(jax.random.key(config.seed))
    params = prepared.task.init(init_key)

    data = federate(simulated.dataset, with_pooled(simulated.partition))
    alone_clients = learning.clients_alone(
        config, prepared.task, np.asarray(data.sizes), config.client.epochs
    )
    train = train_alone(alone_clients, config.rounds)
    holding = jnp.asarray(np.flatnonzero(data.sizes), jnp.int32)
    *alone, central = [
        prepared.evaluate(
            train(data, jax.random.fold_in(key, client), params, client), config.rounds
        )
        for client in counted(prepared.tell, "comparison models", list(holding))
    ]
    return {
        "central": central.headline,
        "alone": [each.headline for each in alone],
        "confusion_central": central.confusion.tolist(),
        "confusions_alone": [each.confusion.tolist() for each in alone],
    }

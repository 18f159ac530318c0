"""One run of a private sweep: it is trained and scored, and leaves its model."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pride_jax.data.datasets import Dataset
from pride_jax.engine.evaluation import Metrics, evaluator
from pride_jax.engine.rounds import ServerState
from pride_jax.errors import ConfigError
from pride_jax.models.parameters import write_parameters
from pride_jax.privacy.exact import Below, discrete_gaussian
from pride_jax.privacy.tuning import HeldOutScore, PublicScore
from pride_jax.runs.experiment import Trained, run_in_steps
from pride_jax.runs.prepared import Prepared, prepare, simulated_of
from pride_jax.settings import build
from pride_jax.settings.experiment import Experiment
from pride_jax.sweeps.family import Asked
from pride_jax.sweeps.sweep import override

Scorer = Callable[[Experiment, Path, Path, Below], tuple[float, dict[str, float]]]
"""Settings, a new folder for the run, a file for its model, where noise comes from -> its score,
the larger the better, and the scores of its model on the test examples."""

GRID = 1000
"""Clients' accuracies are added up as whole thousandths, so that noise on them is exact."""


def scorer(asked: Asked) -> Scorer:
    """Makes the function that trains and scores a run as is asked for.

    The test scores are those on the data set's own test examples, also where validation examples
    take their place in the runs.

    Raises:
      PrideError: the examples to score by cannot be had, or are not like the clients'.
    """
    whole = replace(asked.config.data, validation_examples=0)
    test = build.build_dataset(replace(asked.config, data=whole))
    wanted = asked.score
    public = test if isinstance(wanted, HeldOutScore) else _public(asked.config, wanted, test)

    def score(
        config: Experiment, folder: Path, model: Path, below: Below
    ) -> tuple[float, dict[str, float]]:
        prepared, state = _trained(config, folder)
        params = prepared.algorithm.params(state)
        write_parameters(model, params)
        if isinstance(wanted, HeldOutScore):
            totals = simulated_of(prepared).review(state)["shared"]
            value = noised_accuracy(totals, wanted.noise_multiplier, below)
        else:
            value = _comparable(evaluator(prepared.task, public)(params))
        return value, evaluator(prepared.task, test)(params).means

    return score


def noised_accuracy(
    totals: Float[np.ndarray, "clients 2"], noise_multiplier: float, below: Below
) -> float:
    """The mean of clients' accuracies, with noise that hides any one of them.

    Args:
      totals: of each client, its right answers and all its answers on what it holds out.
      noise_multiplier: standard deviation of the sum's noise; 1 is a client's largest accuracy.
      below: where the noise comes from.
    """
    right, answers = totals.T
    shares = np.divide(right, answers, out=np.zeros(len(right)), where=answers > 0)
    thousandths = int(np.rint(GRID * np.clip(shares, 0.0, 1.0)).sum())
    noise = discrete_gaussian(below, (GRID * Fraction(noise_multiplier)) ** 2)
    return (thousandths + noise) / GRID / len(right)


def _public(config: Experiment, wanted: PublicScore, test: Dataset) -> Dataset:
    """The data set whose test examples are public and no client's."""
    if wanted.examples == "test":
        return build.build_dataset(config)
    other = build.build_dataset(override(config, {"data.name": wanted.examples}))
    shapes = [
        (each.test_inputs.dtype, each.test_inputs.shape[1:], each.outputs) for each in (test, other)
    ]
    if shapes[0] != shapes[1]:
        raise ConfigError(
            f"--score {wanted.examples}: its examples and outputs are {shapes[1]}, expected "
            f"{shapes[0]}, as the clients'"
        )
    return test._replace(test_inputs=other.test_inputs, test_targets=other.test_targets)


def _comparable(measured: Metrics) -> float:
    """The score that stands for the task, the larger the better."""
    return measured.accuracy if "accuracy" in measured.means else -measured.loss


def _trained(config: Experiment, folder: Path) -> tuple[Prepared, ServerState]:
    """What a run is made of, and its last state.

    Raises:
      PrideError: as `experiment.run`.
    """
    prepared = prepare(config, folder / "secrets")
    course = run_in_steps(prepared, folder, None, pictures=False)
    state, until = next(course)
    while True:
        state, info = prepared.algorithm.rounds(state, until)
        try:
            state, until = course.send(Trained(state, info, 0.0))
        except StopIteration:
            return prepared, state

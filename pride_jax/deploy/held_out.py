"""Examples that parties hold out: scored where they lie, and only the sums of scores travel."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from pride_jax.data.examples import Examples
from pride_jax.deploy.agreement import Agreement
from pride_jax.deploy.derived import ANSWERS
from pride_jax.deploy.scores import RESOLUTION, added_up, to_digits
from pride_jax.deploy.training import Told, build_task, unflatten
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.evaluation import scorer
from pride_jax.task import Scores


def scoring(
    agreement: Agreement, held: Examples
) -> Callable[[int, Float[np.ndarray, "numbers"], int], tuple[Int[np.ndarray, "length"], Told]]:
    """How a party scores a model on what it holds out.

    Args:
      agreement: of scores.
      held: its examples to test on; there may be none.

    Returns:
      A function of rounds that are done, the parameters, flat, and how many parties are called; it
      gives the digits of the party's sums, and what the party alone is told.

    Raises (the function):
      ProtocolError: the parameters are of another number, or answer an example by no number.
    """
    roster = agreement.roster
    task = build_task(agreement.config, roster)
    answer = scorer(task, clients_mesh(jax.devices()[:1]))
    like = jax.eval_shape(task.init, jax.random.key(0))
    examples = (held.inputs, held.targets, roster.shift, roster.scale)

    def score(
        round_: int, params: Float[np.ndarray, "numbers"], called: int
    ) -> tuple[Int[np.ndarray, "length"], Told]:
        del called
        model = unflatten(like, params)
        sums = dict.fromkeys(agreement.scores, 0)
        if len(held.targets):
            sums = sums_of(answer(model, *map(jnp.asarray, examples)))
        ordered = [sums[name] for name in agreement.scores]
        told = {name: each * RESOLUTION for name, each in sums.items()}
        return to_digits(ordered, agreement.terms), {"round": round_, **told}

    return score


def sums_of(scores: Scores) -> dict[str, int]:
    """Sums over examples by name, and how many answers these are, in units of `RESOLUTION`."""
    each = {ANSWERS: scores.weight, **scores.sums}
    return {name: added_up(np.asarray(values)) for name, values in each.items()}

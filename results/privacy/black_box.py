"""Releases of one plan with a client and without, told apart as a black box: by what comes out.

``python -m results.privacy.black_box FILE`` writes JSON. Normal numbers in floats are few
far from 0: 2^23 in all, none of them beyond 5.5 deviations. A client that moves every value by a
little then makes releases that cannot be made without the client, whatever ε says. The attack
needs no knowledge of the generator: it looks at many releases without the client, and counts later
ones that are beyond all of them, and that hold a far value which one of them held.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int

from pride_jax.files import write_json
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import secret_key
from pride_jax.privacy.values import Floats
from pride_jax.runs.environment import environment
from pride_jax.settings.build import build_plan
from pride_jax.settings.files import load_config
from pride_jax.types import Key

_HERE = Path(__file__).parent
CONFIG = "mnist_dp_k10000"
PARAMETERS = 5010
RELEASES = 80_000
FAR = 4.5
"""Deviations from 0 from which on single values are looked at."""
_TOGETHER = 200

Releases = Callable[[Key, Int[Array, "rounds"], bool], Float32[Array, "rounds parameters"]]
"""Noise key, rounds, whether the client is there -> releases, in deviations of the noise."""


class Seen(NamedTuple):
    """Of many releases.

    Attributes:
      largest: value of each.
      values: that are far from 0.
      releases: which each of these is of.
    """

    largest: Float32[np.ndarray, "releases"]
    values: Float32[np.ndarray, "far"]
    releases: Int[np.ndarray, "far"]


def plan_of(config: str = CONFIG) -> Plan:
    """The plan of a config, whose noise is calibrated for its ε."""
    asked = load_config(_HERE.parents[1] / "configs" / f"{config}.py")
    plan = build_plan(asked, asked.partition.clients, PARAMETERS)
    assert isinstance(plan, Plan), "the config is private"
    return plan


def of_plan(plan: Plan) -> Releases:
    """The plan's own releases; of the client an update as long as the norm, all values equal."""
    mechanism, norm = plan.mechanism, plan.clipping.norm
    assert isinstance(mechanism, Gaussian)
    length = PARAMETERS**-0.5
    if isinstance(mechanism.values, Floats):
        each = jnp.float32(norm * length)
    else:
        each = jnp.int32(plan.grid.levels * length)
    deviation = mechanism.noise_scale(plan.setting, norm)

    def release(
        key: Key, round_: Int[Array, ""], here: Bool[Array, ""]
    ) -> Float32[Array, "parameters"]:
        total = jnp.full(PARAMETERS, jnp.where(here, each, jnp.zeros_like(each)))
        state = plan.init(key, total, round_)
        noised, _ = plan.release(key, state, round_, total, jnp.zeros((), each.dtype))
        return noised / deviation

    return _of_rounds(release)


def of_one_normal(plan: Plan) -> Releases:
    """As much noise, drawn in floats by JAX as one normal number a value."""
    move = PARAMETERS**-0.5 / plan.mechanism.noise_multiplier

    def release(
        key: Key, round_: Int[Array, ""], here: Bool[Array, ""]
    ) -> Float32[Array, "parameters"]:
        noise = jax.random.normal(jax.random.fold_in(key, round_), (PARAMETERS,))
        return noise + jnp.where(here, jnp.float32(move), jnp.float32(0.0))

    return _of_rounds(release)


def _of_rounds(release: Callable[..., Float32[Array, "parameters"]]) -> Releases:
    return jax.jit(jax.vmap(release, in_axes=(None, 0, None)))


def observe(release: Releases, releases: int, here: bool, far: float = FAR) -> Seen:
    """Looks at so many releases, a multiple of 200, with a key of their own."""
    key = secret_key()
    largest, values, places = [], [], []
    for start in range(0, releases, _TOGETHER):
        rounds = jnp.arange(start, start + _TOGETHER, dtype=jnp.int32)
        out = np.asarray(release(key, rounds, here))
        release_of, value_of = np.nonzero(np.abs(out) > far)
        largest.append(out.max(axis=1))
        values.append(out[release_of, value_of])
        places.append(start + release_of)
    return Seen(np.concatenate(largest), np.concatenate(values), np.concatenate(places))


def beyond(found: Seen, without: Seen) -> int:
    """Releases with a value larger than all that were seen without the client."""
    return int((found.largest > without.largest.max()).sum())


def again(found: Seen, without: Seen) -> int:
    """Releases with a far value that was seen without the client, to the last bit."""
    return len(set(found.releases[np.isin(found.values, without.values)].tolist()))


def row(name: str, release: Releases, releases: int) -> dict[str, Any]:
    """Counts of releases with the client, and of as many more without."""
    without, more, present = (observe(release, releases, here) for here in (False, False, True))
    return {
        "noise": name,
        "releases": releases,
        "beyond": {"with": beyond(present, without), "without": beyond(more, without)},
        "again": {"with": again(present, without), "without": again(more, without)},
        "largest": float(without.largest.max()),
    }


def main(path: Path) -> None:
    """Looks at every noise and writes the file."""
    plan = plan_of()
    noises = {
        "the plan's: rounded normal numbers on integers": of_plan(plan),
        "one normal number in floats, jax.random.normal": of_one_normal(plan),
    }
    rows = []
    for name, release in noises.items():
        rows.append(row(name, release, RELEASES))
        print(rows[-1], flush=True)
    told = {"config": CONFIG, "parameters": PARAMETERS, "far": FAR}
    noise = {"noise_multiplier": plan.mechanism.noise_multiplier}
    write_json(path, {"environment": environment(), **told, **noise, "rows": rows})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

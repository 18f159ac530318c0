"""ε of random plans, and of corners, beside the bracket of an accountant that was written apart.

``python -m results.privacy.brackets FILE`` writes JSON, plan by plan, and goes on where it was
ended at the same commit. The tests do the same for a few plans.
"""

import importlib
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from pride_jax.files import read_json, write_json
from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.blt import BufferedToeplitz
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Mechanism, Plan
from pride_jax.privacy.readers import Reader
from pride_jax.privacy.sampling import (
    Accounted,
    cyclic_poisson,
    fixed_size,
    full,
    truncated_poisson,
)
from pride_jax.privacy.values import Floats, Integers
from pride_jax.runs.environment import environment

FOLDER = Path(__file__).parent
EACH = 5
INTEGERS = Integers(100, 8)


def main(path: Path) -> None:
    """Brackets every plan and writes the file."""
    sys.path.insert(0, str(FOLDER.parents[1] / "tests" / "privacy"))
    bracket_of = importlib.import_module("described").bracket_of
    here = environment()
    begun = read_json(path) if path.exists() else {"environment": here, "rows": []}
    if begun["environment"]["git_commit"] != here["git_commit"]:
        begun = {"environment": here, "rows": []}
    done = {str(row["plan"]): row for row in begun["rows"]}
    epsilon(_plan(full(9), Gaussian(9.0, Floats()), 1, 1e-3))
    rows = []
    for name, plan, reader in [*corners(), *random_plans(np.random.default_rng(0))]:
        if (key := str(plan.to_dict())) in done and done[key]["reader"] == reader:
            rows.append(done[key])
            continue
        start = time.process_time()
        found = epsilon(plan, reader=reader)
        seconds = time.process_time() - start
        low, high = bracket_of(plan, reader)
        rows.append(
            {
                "name": name,
                "reader": reader,
                "plan": plan.to_dict(),
                "epsilon": found,
                "low": low,
                "high": high,
                "seconds": seconds,
            }
        )
        width, over, under = 1 - low / high, found / high - 1, found / low - 1
        print(
            f"{name:28} {found:10.5g} {width:7.4f} {under:8.4f} {over:8.4f} {seconds:6.2f}",
            flush=True,
        )
        write_json(path, {"environment": begun["environment"], "rows": rows})


def corners() -> list[tuple[str, Plan, Reader]]:
    """The plans at which accountants were loose, or failed."""
    return [
        (
            "rare",
            _plan(truncated_poisson(100_000, 1e-4), Gaussian(1.0, Floats()), 1000, 1e-5),
            "models",
        ),
        (
            "long",
            _plan(truncated_poisson(10_000, 1e-3), Gaussian(2.0, Floats()), 10_000, 1e-5),
            "models",
        ),
        (
            "noisy",
            _plan(truncated_poisson(1000, 0.1), Gaussian(245.2, Floats()), 100, 1e-5),
            "models",
        ),
        (
            "sure",
            _plan(truncated_poisson(1000, 0.1), Gaussian(5.0, Floats()), 100, 1e-15),
            "models",
        ),
        (
            "full cohorts",
            _plan(truncated_poisson(1000, 0.1, 110), Gaussian(1.0, Floats()), 100, 1e-3),
            "models",
        ),
        ("few", _plan(truncated_poisson(1000, 0.01), Gaussian(2.0, INTEGERS), 10, 1e-3), "models"),
        (
            "rare, opened from two",
            _plan(truncated_poisson(1000, 0.003), Skellam(1.0, INTEGERS), 100, 1e-5),
            "models",
        ),
        (
            "one round",
            _plan(truncated_poisson(100, 0.2), Gaussian(0.5, Floats()), 1, 0.0578),
            "cohort_sizes",
        ),
    ]


def random_plans(rng: np.random.Generator) -> list[tuple[str, Plan, Reader]]:
    """As many plans of every pair of mechanism, sampling and reader."""
    kinds: dict[str, tuple[Any, Any, Reader]] = {
        "gaussian, full": (_full, _gaussian, "models"),
        "gaussian, Poisson": (_poisson, _gaussian, "models"),
        "gaussian, tight Poisson": (_tight, _gaussian, "models"),
        "gaussian, sizes seen": (_poisson, _gaussian, "cohort_sizes"),
        "gaussian, coalition": (_poisson, _gaussian, "colluding_clients"),
        "gaussian, fixed size": (_fixed, _gaussian, "models"),
        "skellam, full": (_full, _skellam, "models"),
        "skellam, Poisson": (_poisson, _skellam, "models"),
        "skellam, drop-outs": (_poisson, _dropouts, "cohort_sizes"),
        "skellam, coalition": (_poisson, _colluders, "colluding_clients"),
        "banded, full": (_full, _banded, "models"),
        "banded, cyclic": (_cyclic, _banded, "models"),
        "banded, cohorts known": (_cyclic, _banded, "cohorts"),
        "blt, full": (_full, _blt, "models"),
        "blt, cyclic": (_cyclic, _blt, "models"),
    }
    plans: list[tuple[str, Plan, Reader]] = []
    for name, (sampler, mechanism, reader) in kinds.items():
        for _ in range(EACH):
            drawn: Accounted = sampler(rng)
            rounds = round(_between(rng, 8, 400))
            # Noise that makes ε neither tiny nor huge.
            noise = _between(rng, 0.7, 3) * max(1.0, 2 * drawn.rate * math.sqrt(rounds))
            delta = _between(rng, 1e-7, 1e-3)
            plans.append((name, _plan(drawn, mechanism(noise), rounds, delta), reader))
    return plans


def _plan(sampler: Accounted, mechanism: Mechanism, rounds: int, delta: float) -> Plan:
    return Plan(
        sampler=sampler, clipping=Flat(1.0), mechanism=mechanism, rounds=rounds, delta=delta
    )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _full(rng: np.random.Generator) -> Accounted:
    return full(round(_between(rng, 20, 1000)))


def _poisson(rng: np.random.Generator) -> Accounted:
    return truncated_poisson(round(_between(rng, 200, 1000)), _between(rng, 0.02, 0.3))


def _tight(rng: np.random.Generator) -> Accounted:
    clients, rate = round(_between(rng, 100, 500)), _between(rng, 0.05, 0.3)
    mean = clients * rate
    return truncated_poisson(clients, rate, math.ceil(mean + rng.uniform(0.5, 4) * math.sqrt(mean)))


def _fixed(rng: np.random.Generator) -> Accounted:
    clients = round(_between(rng, 100, 2000))
    return fixed_size(clients, max(1, round(clients * _between(rng, 0.01, 0.5))))


def _cyclic(rng: np.random.Generator) -> Accounted:
    groups = int(rng.integers(4, 8))
    clients = groups * round(_between(rng, 50, 200))
    return cyclic_poisson(clients, _between(rng, 0.3, 0.9) / groups, groups)


def _gaussian(noise: float) -> Mechanism:
    return Gaussian(noise, Floats())


def _skellam(noise: float) -> Mechanism:
    return Skellam(noise, INTEGERS)


def _dropouts(noise: float) -> Mechanism:
    return Skellam(noise, INTEGERS, dropouts=1, exchangeable=True)


def _colluders(noise: float) -> Mechanism:
    return Skellam(noise, INTEGERS, colluders=2)


def _banded(noise: float) -> Mechanism:
    return Banded(noise, band=4, values=Floats())


def _blt(noise: float) -> Mechanism:
    return BufferedToeplitz(noise, buffers=2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

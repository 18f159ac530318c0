"""A million sums of hidden values under random terms, every one compared with the plain sum.

    python -m results.encryption.lattice_sums

Keys and errors are drawn from the operating system's generator, terms and values from NumPy's with
a seed. A third of the vectors hold only the largest value, or only the least.
"""

import json
import os
from dataclasses import asdict, dataclass

import numpy as np
import tyro

from pride_jax.aggregation.lattice.ciphertexts import add, hide, is_canonical, mask, reveal
from pride_jax.aggregation.lattice.drawn import draw_key, public_polynomials
from pride_jax.aggregation.lattice.parameters import lattice_of
from pride_jax.aggregation.secure_sum import Terms
from pride_jax.runs.environment import environment


@dataclass(frozen=True)
class Setting:
    """What is tried.

    Attributes:
      terms: how many, at random: lengths up to ``length``, 2 … 32 bits, cohorts up to 2^31 − 1.
      length: the longest vector.
      clients: in a sum, at most.
      seed: of terms and values.
    """

    terms: int = 150
    length: int = 20_000
    clients: int = 5
    seed: int = 0


def random_terms(rng: np.random.Generator, setting: Setting, clients: int) -> Terms:
    """Terms with room for that many clients, or for many more."""
    cohort = clients + int(2.0 ** rng.uniform(0, 30)) * int(rng.integers(2))
    length, bits = rng.integers(1, setting.length, endpoint=True), rng.integers(2, 33)
    return Terms(int(length), int(bits), 1.0, 1, cohort)


def wrong_sums(rng: np.random.Generator, terms: Terms, clients: int) -> int:
    """How many of a vector's sums differ from the plain ones."""
    lattice, largest = lattice_of(terms), terms.largest_value
    public = public_polynomials(lattice, os.urandom(32))
    keys, bodies, plain = [], [], np.zeros(terms.length, np.int64)
    extreme = int(rng.integers(-1, 2)) * int(rng.integers(2))
    for _ in range(clients):
        vector = rng.integers(-largest, largest, terms.length, endpoint=True)
        if extreme:
            vector[:] = extreme * largest
        keys.append(draw_key(lattice, os.urandom))
        bodies.append(hide(lattice, mask(lattice, public, keys[-1], os.urandom), vector))
        plain += vector
    if not all(is_canonical(lattice, body) for body in bodies):
        return terms.length
    found = reveal(lattice, public, np.sum(keys, axis=0), add(lattice, bodies), clients)
    return int(np.count_nonzero(found != plain))


def main(setting: Setting) -> None:
    """Prints what was found."""
    rng, rings = np.random.default_rng(setting.seed), set()
    sums = wrong = 0
    for _ in range(setting.terms):
        clients = int(rng.integers(1, setting.clients, endpoint=True))
        terms = random_terms(rng, setting, clients)
        lattice = lattice_of(terms)
        rings.add((lattice.degree, len(lattice.primes)))
        sums += terms.length
        wrong += wrong_sums(rng, terms, clients)
    found = {"sums": sums, "wrong": wrong, "rings": sorted(rings)}
    print(json.dumps(found | {"setting": asdict(setting), "environment": environment()}))


if __name__ == "__main__":
    main(tyro.cli(Setting))

"""The lattice estimator's figures for the rings of `lattice`, largest q each.

Runs in a Python that has Sage, and the estimator (https://github.com/malb/lattice-estimator, here
of commit 27a581bb) on its path; it needs nothing of this project::

    python3 -m venv sage
    sage/bin/pip install passagemath-standard-no-symbolics passagemath-symbolics
    PYTHONPATH=lattice-estimator sage/bin/python results/encryption/lattice_security.py \
        > results/encryption/lattice_security.json

Keys and errors have the standard deviation that is left after their sums are known, see
`pride_jax.aggregation.lattice.parameters`; the number of samples is not limited.
"""

import json
import math
import sys

from estimator import LWE, ND  # pyright: ignore[reportMissingImports]
from sage.all import is_prime, log, oo  # pyright: ignore[reportMissingImports]

DEVIATION = 4.5
ATTACKS = {
    "usvp": LWE.primal_usvp,
    "bdd": LWE.primal_bdd,
    "dual": LWE.dual,
    "dual_hybrid": LWE.dual_hybrid,
}
"""Those that are in reach: other hybrids are for sparse keys; Arora–Ge and BKW cost far more."""
RINGS = {2048: 2, 4096: 4, 8192: 8}
"""Degree -> primes."""


def primes(degree: int, count: int) -> list[int]:
    """The largest primes below 2^26 that are 1 modulo 2N."""
    candidates = range(2**26 + 1 - 2 * degree, 0, -2 * degree)
    found = (candidate for candidate in candidates if is_prime(candidate))
    return [next(found) for _ in range(count)]


def estimate(degree: int, count: int) -> dict:
    """All that the estimator says of one ring."""
    moduli = primes(degree, count)
    errors = ND.DiscreteGaussian(DEVIATION)
    parameters = LWE.Parameters(n=degree, q=math.prod(moduli), Xs=errors, Xe=errors, m=oo)
    attacks = {}
    for name, attack in ATTACKS.items():
        attacks[name] = round(float(log(attack(parameters)["rop"], 2)), 1)
        print(degree, name, attacks[name], file=sys.stderr, flush=True)
    return {
        "degree": degree,
        "primes": moduli,
        "log2_q": round(math.log2(math.prod(moduli)), 2),
        "deviation": DEVIATION,
        "bits": min(attacks.values()),
        "attacks": attacks,
    }


if __name__ == "__main__":
    found = [estimate(degree, count) for degree, count in RINGS.items()]
    json.dump(found, sys.stdout, indent=2)
    print()

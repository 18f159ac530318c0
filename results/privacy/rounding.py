"""What rounding costs Skellam shares, with rotated updates and without.

``python -m results.privacy.rounding FILE`` writes JSON: for models of several sizes and
integers of some bits, the deviation of a sum's noise over that of Gaussian noise in floats at the
same ε, and the bits that each noised value takes to send.
"""

import math
import sys
from pathlib import Path

from pride_jax.files import write_json
from pride_jax.privacy.accounting import calibrate
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.sampling import full
from pride_jax.privacy.values import Floats, integers_of
from pride_jax.runs.environment import environment

EPSILON = 8.0
PLAN = {"sampler": full(100), "clipping": Flat(1.0), "rounds": 20, "delta": 1e-3}
"""That of configs/mnist_dp_k100."""
SIZES = {"scattering": 5_010, "2NN": 199_210, "CNN": 1_663_370}
BITS = [4, 6, 8, 10, 12, 16]


def main(path: Path) -> None:
    """Calibrates every plan and writes the file."""
    floats = calibrate(lambda noise: Gaussian(noise, Floats()), EPSILON, **PLAN)
    expected = floats.mechanism.noise_multiplier
    rows = [
        {"model": model, "parameters": size, "bits": bits, **costs(size, bits, expected)}
        for model, size in SIZES.items()
        for bits in BITS
    ]
    write_json(path, {"environment": environment(), "rows": rows})
    for each in rows:
        print(*each.values())


def costs(size: int, bits: int, expected: float) -> dict[str, float | int]:
    """Noise and bits that are sent, as updates are and rotated where that makes a grid finer."""
    found = {}
    for name, rotation in (("as they are", False), ("rotated", True)):
        values = integers_of(size, bits, rotation=rotation)
        plan = calibrate(lambda noise, values=values: Skellam(noise, values), EPSILON, **PLAN)
        mechanism = plan.mechanism
        assert isinstance(mechanism, Skellam)
        deviation = math.sqrt(mechanism.noise_variance) / values.levels
        found |= {
            f"levels {name}": values.levels,
            f"noise {name}": deviation / expected,
            f"sent {name}": bits + plan.shares(bytes).extra_bits,
        }
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))

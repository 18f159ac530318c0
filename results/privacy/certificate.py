"""Skellam noise against the Gaussian noise that costs no less: the theorem of `dominance`, checked.

``python -m results.privacy.certificate FILE`` writes JSON: for each variance the steps
h(m + 1) − h(m) of the normal scores of the distribution's steps, out to 30 standard deviations. The
largest is that of the Gaussian noise whose variance dominates all shifts, so all shapes of updates.
"""

import math
import sys
from pathlib import Path

import numpy as np
from scipy.special import ndtri_exp

from pride_jax.files import write_json
from pride_jax.privacy.mechanisms.dominance import gaussian_variance
from pride_jax.runs.environment import environment

VARIANCES = [4.0, 5.0, 6.0, 8.0, *(round(10 ** (k / 4), 2) for k in range(4, 25))]


def main(path: Path) -> None:
    """Checks every variance and writes the file."""
    rows = [row(variance) for variance in VARIANCES]
    write_json(path, {"environment": environment(), "rows": rows})
    for each in rows:
        print(*(f"{value:.8g}" for value in each.values()))
        assert each["certified"] > each["claimed"]
        assert each["curvature"] <= each["claimed_curvature"]


def row(variance: float) -> dict[str, float]:
    """Largest steps and curvature of one variance, as found and as claimed."""
    far = math.ceil(30 * math.sqrt(variance)) + 60
    ratios = bessel_ratios(variance, far + math.ceil(2 * math.sqrt(variance)))
    steps = normal_steps(ratios, far)
    curvatures = np.concatenate([[-2 * math.log(ratios[0])], np.log(ratios[:-1] / ratios[1:])])
    return {
        "variance": variance,
        "certified": 1 / float(steps.max()) ** 2,
        "claimed": gaussian_variance(variance),
        "at": int(steps.argmax()),
        "curvature": float(curvatures.max()),
        "claimed_curvature": math.log((variance - 0.5) / (variance - 1.5)),
    }


def bessel_ratios(variance: float, length: int) -> np.ndarray:
    """I_(n+1)(v) / I_n(v) for n = 0 … length − 1, by the recurrence from far above: stable."""
    ratio, ratios = 0.0, np.empty(length)
    for n in range(length + math.ceil(20 * math.sqrt(variance)) + 100, -1, -1):
        ratio = 1 / (2 * (n + 1) / variance + ratio)
        if n < length:
            ratios[n] = ratio
    return ratios


def normal_steps(ratios: np.ndarray, far: int) -> np.ndarray:
    """h(m + 1) − h(m) for m = 0 … far − 2; those for m < 0 are the same."""
    log_masses = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    log_tails = np.logaddexp.accumulate(log_masses[::-1])[::-1]
    log_all = np.logaddexp(log_tails[0], log_tails[1])
    scores = -ndtri_exp(log_tails[1:far] - log_all)
    return np.concatenate([[2 * scores[0]], np.diff(scores)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

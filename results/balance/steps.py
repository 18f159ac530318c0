"""How the numbers of the balance are made: ``python -m results.redo balance``."""

from results.redo import Step

_SWEEP = "scripts/sweep.py --config configs/mnist_balance.py"
_NO_NOISE = "--over privacy.mechanism=none --over privacy.epsilon=None --over privacy.delta=None"
_SEEDS = "--over seed=0..2"


def _accuracy(mechanism: str, noise: str) -> Step:
    folder = f"accuracy/{mechanism}"
    return Step((f"{_SWEEP} {noise} {_SEEDS} --workdir OUT/{folder}",), (f"{folder}/sweep.json",))


_NOISY = "--over privacy.mechanism={} --over privacy.epsilon=8,3,1"
STEPS = {
    "accuracy/none": _accuracy("none", _NO_NOISE),
    "accuracy/gaussian": _accuracy("gaussian", _NOISY.format("gaussian")),
    "accuracy/skellam": _accuracy("skellam", _NOISY.format("skellam")),
    "rounds": Step(("-m results.balance.rounds OUT/rounds.json",), ("rounds.json",)),
    "audit": Step(
        tuple(
            "scripts/audit.py --config configs/mnist_balance.py --repetitions 1 --out OUT "
            f"--privacy.mechanism {mechanism} --privacy.epsilon {epsilon}"
            for mechanism in ("gaussian", "skellam")
            for epsilon in (8, 3, 1)
        ),
        ("audit.json",),
    ),
}

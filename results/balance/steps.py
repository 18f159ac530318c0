"""How the numbers of the balance are made: ``python -m results.redo balance``."""

from results.redo import Step

_SWEEP = "scripts/sweep.py --config configs/mnist_balance.py"
_NO_NOISE = "--over privacy.mechanism=none --over privacy.epsilon=None --over privacy.delta=None"
_SEEDS = "--over seed=0..2"
_ROUNDS = "--over rounds=3 --over evaluation.every=1"
_HIDING = (
    "two_servers,never;two_servers,always;masking,never;masking,always;bfv,never;"
    "paillier,never;paillier,always;threshold,never"
)


def _through(protocols: str) -> str:
    """Every protocol once a seed: they take turns, so that other work disturbs all alike."""
    return f"{_SEEDS} --over 'aggregation.protocol,aggregation.key_apart={protocols}'"


def _accuracy(mechanism: str, noise: str) -> Step:
    folder = f"accuracy/{mechanism}"
    return Step((f"{_SWEEP} {noise} {_SEEDS} --workdir OUT/{folder}",), (f"{folder}/sweep.json",))


_NOISY = "--over privacy.mechanism={} --over privacy.epsilon=8,3,1"
STEPS = {
    "accuracy/none": _accuracy("none", _NO_NOISE),
    "accuracy/gaussian": _accuracy("gaussian", _NOISY.format("gaussian")),
    "accuracy/skellam": _accuracy("skellam", _NOISY.format("skellam")),
    "rounds/none": Step(
        (
            f"{_SWEEP} {_NO_NOISE} {_ROUNDS} {_through(f'none,never;{_HIDING}')} "
            "--workdir OUT/rounds/none",
        ),
        ("rounds/none/sweep.json",),
    ),
    # A run whose seed of noise is public has no seconds to hide.
    "rounds/skellam": Step(
        (
            f"{_SWEEP} --over privacy.mechanism=skellam --privacy.seed 0 {_ROUNDS} "
            f"{_through(_HIDING)} --workdir OUT/rounds/skellam",
        ),
        ("rounds/skellam/sweep.json",),
    ),
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

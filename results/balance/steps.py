"""How the numbers of the balance are made: ``python -m results.redo balance``."""

from results.redo import Step, sweeps

_SWEEP = "scripts/sweep.py --config configs/mnist_balance.py"
_NO_NOISE = "--over privacy.mechanism=none --over privacy.epsilon=None --over privacy.delta=None"
_NOISE = "--over privacy.mechanism={} --over privacy.epsilon=8,3,1"
_SEEDS = "--over seed=0..2"

STEPS = {
    **sweeps(
        {
            "accuracy/none": f"{_SWEEP} {_NO_NOISE} {_SEEDS}",
            "accuracy/gaussian": f"{_SWEEP} {_NOISE.format('gaussian')} {_SEEDS}",
            "accuracy/skellam": f"{_SWEEP} {_NOISE.format('skellam')} {_SEEDS}",
        }
    ),
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

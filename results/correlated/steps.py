"""How noise that is correlated over rounds is compared: ``python -m results.redo correlated``."""

from results.redo import Step, sweeps

_SWEEP = (
    "scripts/sweep.py --config configs/mnist_correlated.py --over privacy.epsilon=2,4,8 "
    "--over seed=0..2"
)

STEPS = {
    "errors": Step(("-m results.correlated.errors OUT/errors.json",), ("errors.json",)),
    **sweeps(
        {
            "blt": _SWEEP,
            "banded": f"{_SWEEP} --privacy.mechanism banded --privacy.band 10",
            # A band of one round.
            "independent": f"{_SWEEP} --privacy.mechanism banded",
        }
    ),
}

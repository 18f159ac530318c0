"""How writers are trained by each algorithm: ``python -m results.redo writers``."""

from results.redo import sweeps

_SWEEP = "scripts/sweep.py --config configs/mnist_writers.py --over seed=0..2"

STEPS = sweeps(
    {
        "fedavg": _SWEEP,
        "fedprox": f"{_SWEEP} --over method.name=fedprox --over method.options.proximal=0.1",
        "fedavgm": f"{_SWEEP} --over server.momentum=0.9",
        "fedadam": f"{_SWEEP} --over server.optimizer=adam --over server.learning_rate=0.01",
    }
)

"""How the first curves are trained: ``python -m results.redo first_curves``."""

from results.redo import runs

_TRAIN = "scripts/train.py --config configs"

STEPS = runs(
    "first_curves",
    {
        "diabetes_regression": f"{_TRAIN}/diabetes_regression.py",
        "shakespeare_lstm": f"{_TRAIN}/shakespeare_lstm.py --rounds 40",
        "cifar_resnet": f"{_TRAIN}/cifar_resnet.py --rounds 8 --partition.clients 50 "
        "--evaluation.every 2",
    },
)

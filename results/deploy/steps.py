"""How real parties are timed beside the simulation: ``python -m results.redo deploy``."""

from results.redo import benchmarks, runs

_DEPLOYED, _SIMULATED = "scripts/deploy.py --local", "scripts/train.py --engine.per_client"
_IRIS = (
    "--config configs/iris_two_party.py --rounds 10 --evaluation.every 1 --evaluation.no-comparison"
)
_SIX = (
    "--config configs/mnist_six_party.py --rounds 3 --evaluation.no-comparison "
    "--aggregation.protocol paillier --aggregation.limit 0.5"
)

STEPS = {
    **runs(
        "deploy",
        {
            "iris/deployed": f"{_DEPLOYED} {_IRIS}",
            "iris/simulated": f"{_SIMULATED} {_IRIS}",
            "six_party/deployed": f"{_DEPLOYED} {_SIX}",
            "six_party/simulated": f"{_SIMULATED} {_SIX}",
        },
    ),
    **benchmarks({"engine/resident": "parties", "rehearsal": "rehearsal"}),
}

"""How the numbers of client-level privacy are made: ``python -m results.redo privacy``."""

from results.redo import OUT, Step, benchmarks, sweeps

_SWEEP = "scripts/sweep.py --config configs"
_SEEDS = "--over seed=0..4"
_EPSILONS = {"k100": "1,2,4,8", "k1000": "0.5,1,3,8", "k10000": "0.25,0.5,1,3"}
_NO_NOISE = "--over privacy.mechanism=none --over privacy.epsilon=None --over privacy.delta=None"
_FEW_BITS = f"{_SWEEP}/mnist_dp_encrypted.py --aggregation.protocol plain"


def _tuned(clients: str) -> Step:
    """A private sweep a seed: each stands for an owner who tunes once."""
    seeds = range(5)
    command = (
        f"{_SWEEP}/mnist_dp_{clients}.py --private geometric --mean-runs 10 "
        "--data.validation_examples 6000 --over server.learning_rate=4,16,64 "
        "--over client.learning_rate=0.03,0.1,0.3 --over rounds=10,40"
    )
    return Step(
        tuple(f"{command} --seed {seed} --workdir {OUT}/tuned/{clients}/{seed}" for seed in seeds),
        tuple(f"tuned/{clients}/{seed}/private_sweep.json" for seed in seeds),
    )


def _written(name: str) -> Step:
    """What a file of this folder writes."""
    return Step((f"-m results.privacy.{name} {OUT}/{name}.json",), (f"{name}.json",))


STEPS = {
    **sweeps(
        {
            f"accuracy/{clients}": f"{_SWEEP}/mnist_dp_{clients}.py "
            f"--over privacy.epsilon={epsilons} {_SEEDS}"
            for clients, epsilons in _EPSILONS.items()
        }
    ),
    **sweeps(
        {
            f"accuracy/{clients}_no_noise": f"{_SWEEP}/mnist_dp_{clients}.py {_NO_NOISE} {_SEEDS}"
            for clients in _EPSILONS
        }
    ),
    "groups": _written("groups"),
    **{f"tuned/{clients}": _tuned(clients) for clients in _EPSILONS},
    **sweeps(
        {
            "mechanisms/encrypted": f"{_SWEEP}/mnist_dp_encrypted.py {_SEEDS}",
            "mechanisms/skellam": f"{_SWEEP}/mnist_dp_k100.py --over privacy.mechanism=skellam "
            f"--over privacy.epsilon=8 --over aggregation.protocol=plain {_SEEDS}",
            "mechanisms/floats": f"{_SWEEP}/mnist_dp_k100.py --over privacy.noise=floats {_SEEDS}",
            "few_bits/few": f"{_FEW_BITS} --over aggregation.bits=8,6,4 "
            "--over privacy.rotation=True,False --over seed=0..2",
            "few_bits/fine": f"{_FEW_BITS} --over aggregation.bits=12 --over seed=0..2",
            "populations/writers": f"{_SWEEP}/mnist_writers_dp.py {_SEEDS}",
            "populations/digits": f"{_SWEEP}/digits_dp.py {_SEEDS}",
            "populations/iris": f"{_SWEEP}/iris_dp.py --over seed=0..19",
        }
    ),
    "rounding": _written("rounding"),
    **benchmarks({"benchmark": "privacy"}),
    "certificate": _written("certificate"),
    "brackets": _written("brackets"),
    "black_box": _written("black_box"),
}

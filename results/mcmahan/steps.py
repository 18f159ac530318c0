"""How the cells of McMahan et al.'s tables are made: ``python -m results.redo mcmahan``."""

from results.redo import benchmarks, sweeps

_2NN = "scripts/sweep.py --config configs/mcmahan_2nn.py"
_IID, _SHARDS = "--over partition.kind=iid", "--over partition.kind=shards"
_BOTH = "--over partition.kind=iid,shards"


def _cell(partition: str, batch: str, rates: str, cohort: str, rounds: int) -> str:
    return (
        f"{_2NN} {partition} --over client.batch_size={batch} --over client.learning_rate={rates} "
        f"--over cohort.size={cohort} --over rounds={rounds}"
    )


def _seeds(cell: str, seeds: str) -> str:
    return f"{cell} --over seed={seeds}"


def _validated(cell: str) -> str:
    """On validation digits, with a seed that no cell of the table has."""
    return f"{cell} --over data.validation_examples=10000 --over seed=100"


STEPS = benchmarks({"targets": "targets"}) | sweeps(
    {
        "2nn/iid_b10": _seeds(
            _cell(_IID, "10", "0.3", "10,20,50,100", 200) + " --over evaluation.every=1", "0..4"
        ),
        "2nn/shards_b10": _seeds(_cell(_SHARDS, "10", "0.2", "10,20,50,100", 800), "0..2"),
        "2nn/iid_b10_one": _seeds(_cell(_IID, "10", "0.1", "1", 500), "0..4"),
        "2nn/shards_b10_one": _seeds(_cell(_SHARDS, "10", "0.03", "1", 4300), "0..2"),
        "2nn/inf": _seeds(_cell(_BOTH, "None", "0.5", "10,20", 1800), "0..2"),
        "2nn/iid_inf_one": _seeds(_cell(_IID, "None", "0.4", "1", 2000), "0..2"),
        "2nn/shards_inf_one": _seeds(_cell(_SHARDS, "None", "0.2", "1", 4300), "0..2"),
        "2nn/inf_many": _seeds(_cell(_BOTH, "None", "0.5", "50,100", 1800), "0"),
        "cnn_iid": "scripts/sweep.py --config configs/mnist_cnn_iid.py "
        "--over evaluation.stop_at_target=True --over seed=0..2",
        "rates/b10": _validated(_cell(_BOTH, "10", "0.1,0.2,0.3", "10", 800)),
        "rates/shards_b10_one": _validated(_cell(_SHARDS, "10", "0.01,0.03,0.1", "1", 4300)),
        "rates/iid_b10_one": _validated(_cell(_IID, "10", "0.05,0.1,0.2", "1", 500)),
        "rates/inf": _validated(_cell(_BOTH, "None", "0.3,0.4,0.5", "10", 1800)),
        "rates/shards_inf_one": _validated(_cell(_SHARDS, "None", "0.05,0.1,0.2", "1", 4300)),
        "rates/iid_inf_one": _validated(_cell(_IID, "None", "0.2,0.4", "1", 2000)),
    }
)

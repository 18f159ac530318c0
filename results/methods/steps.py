"""How methods are compared where classes differ: ``python -m results.redo methods``."""

from results.redo import sweeps

_SHARDS = "scripts/sweep.py --config configs/mnist_2nn_shards.py"
_SCAFFOLD = "--over method.name=scaffold --over cohort.weighting=uniform"
_FEDAVG = "--over method.name=fedavg"
_TO_TARGET = "--evaluation.stop_at_target --rounds 400 --over seed=0..2"
_TUNING = (
    "--rounds 120 --data.validation_examples 10000 --over seed=0 "
    "--over client.learning_rate=0.05,0.1,0.15,0.2,0.3"
)
_PERSONAL = (
    "scripts/sweep.py --config configs/mnist_2nn_iid.py --partition.kind dirichlet "
    "--partition.clients 50 --partition.alpha 0.1 --partition.held_out 0.2 "
    "--client.learning_rate 0.1 --rounds 60 --evaluation.every 20 --evaluation.fine_tuning 1 "
    "--over seed=0..2"
)

STEPS = sweeps(
    {
        "fedavg": f"{_SHARDS} {_TO_TARGET} {_FEDAVG} --over client.learning_rate=0.2",
        "scaffold": f"{_SHARDS} {_TO_TARGET} {_SCAFFOLD} --over client.learning_rate=0.1",
        "tuning_fedavg": f"{_SHARDS} {_TUNING} {_FEDAVG}",
        "tuning_scaffold": f"{_SHARDS} {_TUNING} {_SCAFFOLD}",
        "protocols": f"{_SHARDS} --method.name scaffold --cohort.weighting uniform "
        "--client.learning_rate 0.1 --rounds 5 --aggregation.key_bits 1024 "
        "--over aggregation.protocol=plain,paillier",
        "personal_fedavg": _PERSONAL,
        "personal_fedper": f"{_PERSONAL} --over 'method.personal=layers/2/*'",
        "personal_ditto": f"{_PERSONAL} --over method.name=ditto "
        "--over method.options.attraction=0.1",
    }
)

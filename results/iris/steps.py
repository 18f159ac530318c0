"""How Iris's numbers are made: ``python -m results.redo iris``."""

from results.redo import benchmarks, sweeps

_TWO = "scripts/sweep.py --config configs/iris_two_party.py"
_THREE = "scripts/sweep.py --config configs/iris_three_party.py"
_REPORTED = "--over seed=0..19"

STEPS = {
    **sweeps(
        {
            "two_party": f"{_TWO} {_REPORTED}",
            "three_party": f"{_THREE} {_REPORTED}",
            # The rounds and the smoothing of two parties.
            "three_party_first": f"{_THREE} --rounds 20 --task.options.label_smoothing 0.4 "
            f"{_REPORTED}",
            "scatter": f"{_TWO} --together --over aggregation.protocol=none "
            "--over evaluation.comparison=False --over evaluation.every=20 "
            "--over client.borrowed_scatter=0,1 --over seed=2000..2099",
        }
    ),
    **benchmarks({"process": "process --config configs/iris_two_party.py"}),
}

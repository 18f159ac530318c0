"""How the costs of hiding updates are measured: ``python -m results.redo encryption``."""

from results.redo import OUT, Step, benchmarks, sweeps

_COMPARED = "scripts/sweep.py --config configs/mnist_ten_party_compared.py"
_ENCRYPTED = "scripts/sweep.py --config configs/mnist_ten_party_encrypted.py"
_APART = "aggregation.protocol,aggregation.key_apart"
_BEFORE = "d4c1d8d"


def _beside_before(benchmark: str) -> Step:
    """A benchmark that also times the code of the commit before blinds and proofs."""
    (measured,) = benchmarks({benchmark: f"{benchmark} --before {OUT}/{_BEFORE}"}).values()
    earlier = f"-m results.earlier {_BEFORE} {OUT}/{_BEFORE}"
    return measured._replace(commands=(earlier, *measured.commands))


STEPS = {
    **benchmarks({"benchmark": "encryption"}),
    "beside": _beside_before("beside"),
    "masking": _beside_before("masking"),
    **benchmarks({"corruption": "corruption"}),
    **sweeps(
        {
            "mnist_ten_party_compared": f"{_COMPARED} --over '{_APART}=plain,never;"
            "two_servers,never;two_servers,always;masking,never;masking,always;bfv,never;"
            "paillier,always;threshold,always'",
            "mnist_ten_party_direct": f"{_COMPARED} --rounds 1 --over '{_APART}=plain,never;"
            "paillier,never;threshold,never'",
            "mnist_cnn_encrypted": f"{_ENCRYPTED} --model.name cnn --client.epochs 1 --rounds 3 "
            "--evaluation.every 1 --over aggregation.protocol=none,paillier",
        }
    ),
    **benchmarks({"lattice": "lattice --repetitions 3", "key_apart": "key_apart"}),
    "lattice_sums": Step(
        (f"-m results.encryption.lattice_sums > {OUT}/lattice_sums.json",), ("lattice_sums.json",)
    ),
}

"""Tables of what adding updates unseen costs: a parameter, a model, and a round of training."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table
from pride_jax.reporting.metrics import Row
from results.rows import only

_NAMES = {
    "naive": "naive phe",
    "paillier": "paillier",
    "threshold_paillier": "threshold",
    "two_servers": "two_servers",
    "bfv": "bfv",
    "masking": "masking",
    "plain": "plain",
}
_USUAL = {"key_bits": 3072, "value_bits": 16, "mode": "default"}
_BESIDE = {
    "threshold_paillier": _USUAL,
    "two_servers": {"value_bits": 16},
    "bfv": {"value_bits": 16},
    "masking": {"value_bits": 16},
}
_STAGES = ("train", "protect", "combine", "open")


def _benchmark(results: Path, name: str) -> list[Row]:
    return read_json(results / "encryption" / "benchmark.json")[name]


def costs(results: Path) -> str:
    """Microseconds and bytes a parameter: 16 bits, keys of 3072 bits, one worker."""
    rows = [
        row
        for row in _benchmark(results, "rows")
        if row["value_bits"] in (None, 16) and row["key_bits"] in (None, 3072)
    ]
    naive = [row for row in rows if row["protocol"] == "naive"]
    lines = [["naive phe", *_ranges(naive)]]
    for protocol, name in _NAMES.items():
        for row in rows:
            if row["protocol"] == protocol != "naive" and row["workers"] == 1:
                exponents = f", {row['mode']} exponents" if row["mode"] else ""
                lines.append(
                    [
                        name + exponents,
                        _against_naive(row, "encrypt"),
                        rounded(row["online_us"]),
                        rounded(row["add_us"]),
                        _against_naive(row, "decrypt"),
                        rounded(row["bytes"], 3),
                    ]
                )
    header = ["", "encrypt", "of which with the update at hand", "add", "open"]
    return table([*header, "bytes a parameter"], lines)


def setting(results: Path) -> str:
    """The sentence on what a parameter's costs were measured with."""
    asked = read_json(results / "encryption" / "benchmark.json")["setting"]
    return (
        f"{asked['value_bits'][0]}-bit values in vectors of {asked['params'][0]:,}, "
        f"{asked['key_bits'][0]}-bit keys, messages with room for {asked['largest_cohort']} "
        f"clients, {asked['clients']} of whom send.\n"
    )


def beside_paillier(results: Path) -> str:
    """What other ways to hide updates take, as multiples of Paillier's."""
    rows = _benchmark(results, "rows")
    paillier = only(rows, protocol="paillier", **_USUAL, workers=1)
    lines = []
    for protocol, asked in _BESIDE.items():
        row = only(rows, protocol=protocol, **asked, workers=1)
        shares = (row[field] / paillier[field] for field in ("encrypt_us", "decrypt_us", "bytes"))
        lines.append([_NAMES[protocol], *(rounded(share) for share in shares)])
    return table(["as a multiple of Paillier's", "encrypt", "open", "bytes"], lines)


def _against_naive(row: Row, stage: str) -> str:
    times = rounded(row[f"{stage}_ratio_to_naive"], 3)
    return f"{rounded(row[f'{stage}_us'])} ({times}×)"


def _ranges(rows: list[Row]) -> Iterator[str]:
    """Of the baseline, which was timed anew beside every group of protocols."""
    for field in ("encrypt_us", "online_us", "add_us", "decrypt_us"):
        values = [row[field] for row in rows]
        yield f"{rounded(min(values), 3)} to {rounded(max(values), 3)}"
    yield rounded(rows[0]["bytes"], 3)


def of_models(field: str) -> Callable[[Path], str]:
    """The table of one client's part of a round with whole models, a column a protocol.

    Args:
      field: ``encrypt_seconds`` or ``bytes``.
    """
    show = {"encrypt_seconds": rounded, "bytes": lambda value: f"{value:,}"}[field]

    def made(results: Path) -> str:
        found = {
            (row["params"], row["protocol"]): show(row[field])
            for row in _benchmark(results, "client_rounds")
            if row["workers"] == 1
        }
        lines = [
            [f"{params:,}", *(found.get((params, name), "–") for name in _NAMES)]
            for params in dict.fromkeys(params for params, *_ in found)
        ]
        return table(["parameters", *_NAMES.values()], lines)

    return made


def window_tables(results: Path) -> str:
    """The powers that each process keeps to encrypt."""
    lines = [
        [
            f"{_NAMES[row['protocol']]}, {row['key_bits']} bits",
            f"{row['mode']}, {row['exponent_bits']} bits",
            f"{row['bytes'] / 1e6:.1f}",
            rounded(row["seconds"]),
        ]
        for row in _benchmark(results, "tables")
    ]
    return table(["keys", "exponents", "MB", "seconds to make it"], lines)


def conversions(results: Path) -> str:
    """From floats to Paillier's plaintexts and back, beside encrypting them."""
    lines = [
        [
            str(row["key_bits"]),
            str(row["value_bits"]),
            *(rounded(row[field]) for field in ("quantize_us", "pack_us", "unpack_us")),
            f"{row['share_of_encryption']:.1%}",
        ]
        for row in _benchmark(results, "conversions")
    ]
    header = ["key bits", "bits a value", "quantise", "pack", "unpack", "of encryption"]
    return table(header, lines)


_RUNS = {
    "mnist_ten_party_compared": "2NN",
    "mnist_ten_party_direct": "2NN",
    "mnist_cnn_encrypted": "CNN",
}
"""Sweeps in training -> what they train."""


def training(results: Path) -> str:
    """Seconds a round in training, by protocol, and whether all end with the same parameters."""
    lines = []
    for name, model in _RUNS.items():
        sweep = read_json(results / "encryption" / name / "sweep.json")
        for run in sweep["runs"]:
            protocol = _protocol_of(sweep["config"]["aggregation"], run["settings"])
            rounds = str(sweep["config"]["rounds"])
            lines.append([model, f"`{protocol}`", rounds, *_of_a_round(run)])
    header = ["model", "protocol", "rounds", "accuracy", "a round", *_STAGES, "bytes a client"]
    return table([*header, "SHA-256 of the parameters"], lines)


def _protocol_of(asked: Row, swept: Row) -> str:
    """As the page on choosing names it; keys are apart where that is cheaper, unless swept."""
    protocol = swept["aggregation.protocol"]
    apart = swept.get("aggregation.key_apart", asked["key_apart"])
    is_apart = apart == "always" or (apart == "where_cheaper" and protocol == "paillier")
    return f"lattice({protocol})" if is_apart else protocol


def _of_a_round(run: Row) -> Iterator[str]:
    yield f"{run['test_accuracy']:.2%}"
    yield rounded(run["seconds_per_round"], 3)
    stages = run["seconds_by_stage"]
    yield from (rounded(stages[stage], 3) if stage in stages else "–" for stage in _STAGES)
    yield f"{run['bytes_per_client_round']:,}"
    yield f"`{run['parameters_sha256'][:8]}`"


def published(results: Path) -> str:
    """What others say of their own encrypted sums, on their machines."""
    found = read_json(results / "encryption" / "published.json")
    lines = [
        [f"[{each['system']}]({each['source']})", each["setting"], each["published"]]
        for each in found
    ]
    return table(["theirs", "of what", "published"], lines)

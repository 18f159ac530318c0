"""Tables say of numbers what they are, also where some were not measured."""

from pride_jax.files import write_json
from results.attacks import released
from results.benchmarks import scale_tables


def test_an_audit_is_told_with_its_mechanism_claim_and_range(tmp_path):
    rows = [
        {"guesses": 200, "correct": correct, "bound": bound, "estimate": bound + 1}
        for correct, bound in ((110, 0.25), (150, 1.0), (130, 0.5))
    ]
    report = {
        "config": "digits_dp",
        "privacy": {"mechanism": "skellam"},
        "delta": 1e-3,
        "claimed": 7.9489,
        "canaries": 1000,
        "largest": 3.1962,
        "verdict": "no power",
        "rows": rows,
        "violations": 0,
        "allowed": 1,
        "seconds": 41.2,
    }
    (tmp_path / "attacks").mkdir()
    write_json(tmp_path / "attacks" / "audit.json", {"audits": [report]})
    line = released.audits(tmp_path).splitlines()[2]
    assert line == (
        "| digits_dp | skellam | 0.001 | 7.949 | 1,000 | 110 / 130 / 150 of 200 "
        "| 0.25 / 0.50 / 1.00 | 3.20 | 1.25 / 1.50 / 2.00 | 0 (1) | no power | 41 |"
    )


def case(model, cohort, seconds):
    asked = {"how": "engine", "devices": 1, "chunk": None, "precision": "float32"}
    size = {"model": model, "cohort": cohort, "clients": 10_000}
    return asked | size | {"seconds_per_round": seconds, "compile_seconds": 10 * seconds}


def test_a_cohort_that_was_not_run_is_told(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    rows = [case("2nn", 100, 0.07), case("2nn", 1_000, 0.7), case("cnn", 100, 3.0)]
    write_json(tmp_path / "benchmarks" / "scale.json", {"rows": rows})
    assert scale_tables.by_cohort(tmp_path) == (
        "| clients a round, of 10,000 | 100 | 1,000 | to compile, 100 clients |\n"
        "| --- | --- | --- | --- |\n"
        "| 2NN | 0.0700 | 0.700 | 0.70 |\n| CNN | 3.00 | not run | 30 |\n"
    )

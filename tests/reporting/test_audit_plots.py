"""Pictures of audits and membership show every row, and the ceiling and claim beside it."""

import pytest

from pride_jax.files import read_json
from pride_jax.reporting.audit_plots import audits, join, roc_curves


def row(epsilon):
    private = epsilon is not None
    return {
        "epsilon": epsilon,
        "auc": 0.6,
        "auc_ceiling": 0.7 if private else None,
        "tpr_at_1_percent": 0.02,
        "fpr": [0.01, 1.0],
        "tpr": [0.02, 1.0],
        "tpr_ceiling": [0.05, 1.0] if private else None,
    }


def report(claimed, bound, name="digits_dp"):
    rows = [{"bound": bound, "estimate": claimed + 1}, {"bound": bound / 2, "estimate": claimed}]
    privacy = {"mechanism": "gaussian"}
    audited = {"config": name, "privacy": privacy, "claimed": claimed, "delta": 1e-3}
    return audited | {"largest": 4.0, "rows": rows}


def test_every_curve_has_its_ceiling_and_its_dot():
    for axes in roc_curves({"rows": [row(None), row(1.0)]}).axes:
        dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        assert [list(line.get_ydata()) for line in dashed] == [[0.05, 1.0]]
        assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in dots] == [(0.01, 0.02)] * 2


def test_bounds_stand_beside_their_claims():
    (axes,) = audits([report(3.0, 1.0), report(8.0, 2.0)]).axes
    bounds = next(line for line in axes.lines if line.get_label() == "lower bound")
    assert list(bounds.get_xdata()) == [0, 0, 1, 1]
    assert list(bounds.get_ydata()) == [1.0, 0.5, 2.0, 1.0]
    claims, largest = (lines.get_segments() for lines in axes.collections)
    assert [segment[0][1] for segment in claims] == [3.0, 8.0]
    assert [segment[0][1] for segment in largest] == [4.0, 4.0]


def test_a_report_joins_others_and_replaces_its_own(tmp_path):
    for each in (report(8.0, 2.0), report(3.0, 1.0), report(8.0 + 1e-12, 2.5)):
        join(each, tmp_path / "new")
    saved = read_json(tmp_path / "new" / "audit.json")["audits"]
    assert [(each["claimed"], each["rows"][0]["bound"]) for each in saved] == [
        (3.0, 1.0),
        (8.0 + 1e-12, pytest.approx(2.5)),
    ]
    assert (tmp_path / "new" / "audit.png").read_bytes().startswith(b"\x89PNG")

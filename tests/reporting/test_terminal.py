"""What a person reads while a run goes on, and at its end."""

from pathlib import Path

from pride_jax.reporting.live import progress
from pride_jax.reporting.terminal import show_note, show_result, show_summary
from pride_jax.settings.experiment import Experiment

SUMMARY = {
    "test_accuracy": 0.95,
    "test_loss": 0.125,
    "central": 0.96,
    "alone": [0.9, 0.8],
    "accuracy_over_clients": {
        "mean": 0.9,
        "minimum": 0.7,
        "tenth_percentile": 0.75,
        "median": 0.91,
        "maximum": 1.0,
    },
    "accuracy_over_groups": None,
    "held_out": None,
    "data_notes": [],
    "rounds": 30,
    "rounds_to_target": 12.5,
    "seconds_per_round": 0.25,
    "seconds_total": 9.0,
    "bytes_per_client_round": 1660,
    "clients": 3,
    "empty_clients": 1,
    "seconds_by_stage": {},
    "lost_messages": 0,
    "unused_examples": 0,
    "nonfinite_updates": 4,
    "clipped_updates": 0,
    "fitted_updates": 0,
    "unopened_sums": 0,
    "epsilon": None,
    "delta": None,
}


OF_A_REGRESSION = {name: value for name, value in SUMMARY.items() if "accuracy" not in name} | {
    "test_absolute_error": 0.5,
    "loss_over_clients": {"median": 0.25, "ninetieth_percentile": 0.75, "maximum": 2.5},
    "loss_over_groups": None,
}


def words(text):
    return " ".join(text.split())


def test_a_summary_tells_what_matters_on_one_screen(capsys):
    show_summary(SUMMARY)
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) <= 24
    for told in (
        "test accuracy 0.9500",
        "central model 0.9600",
        "clients alone 0.8500 (from 0.8000 to 0.9000)",
        "rounds to target 12.5",
        "30, 0.25 s each, 9.0 s in all",
        "1,660 bytes a round",
        "3, of which 1 hold no example",
        "nonfinite updates 4",
        "differential privacy none",
    ):
        assert told in words(shown)
    assert "clipped updates" not in shown


def test_a_summary_without_comparisons_is_silent_about_them(capsys):
    show_summary(SUMMARY | {"central": None, "alone": None, "rounds_to_target": None})
    shown = capsys.readouterr().out
    assert not any(word in shown for word in ("central", "alone", "target"))


def test_without_a_terminal_some_rounds_and_the_last_are_printed(capsys):
    with progress(Experiment(rounds=45)) as shown:
        for round_ in range(46):
            row = {"round": round_, "test_accuracy": 0.5, "test_loss": 1.0}
            shown.report(row | {"seconds_per_round": 0.0123456})
    lines = capsys.readouterr().out.splitlines()
    assert 20 <= len(lines) <= 25
    assert lines[-1] == "round 45/45  accuracy 0.5000  loss 1.0000  0.0123 s/round"


def test_without_an_accuracy_the_loss_comes_first_and_high_is_bad(capsys):
    show_summary(OF_A_REGRESSION)
    shown = words(capsys.readouterr().out)
    assert shown.startswith("test loss 0.1250 test absolute error 0.5000 ")
    assert "loss on clients' own examples median 0.2500, worst tenth 0.7500, worst 2.5000" in shown
    assert "accuracy" not in shown


def test_a_round_tells_every_score_of_the_task(capsys):
    with progress(Experiment(rounds=1)) as shown:
        shown.report({"round": 1, "test_mae": 0.5, "test_loss": 1.0, "seconds_per_round": 0.25})
    assert capsys.readouterr().out == "round 1/1  loss 1.0000  mae 0.5000  0.25 s/round\n"


def test_held_out_examples_and_notes_on_the_data_are_told(capsys):
    spread = SUMMARY["accuracy_over_clients"]
    held_out = {
        name: spread | {"median": number / 4}
        for number, name in enumerate(("shared", "personal", "fine_tuned"), start=1)
    }
    notes = ["53 speakers have no example", "3 characters are unknown"]
    show_summary(SUMMARY | {"held_out": held_out, "data_notes": notes})
    shown = words(capsys.readouterr().out)
    assert "accuracy on held-out examples median 0.2500" in shown
    assert "of clients' own models there median 0.5000" in shown
    assert "of the fine-tuned model there median 0.7500" in shown
    assert all(f"of the data {note}" in shown for note in notes)


def test_a_note_on_the_data_is_told_while_the_run_starts(capsys):
    with progress(Experiment(rounds=1)):
        show_note("53 speakers have no example")
        assert capsys.readouterr().out == "note: 53 speakers have no example\n"


def test_noise_of_no_stated_distance_is_labelled_so(capsys):
    private = {"epsilon": 2.0, "delta": 1e-5, "epsilon_known_cohort": 3.0, "distance": None}
    show_summary(SUMMARY | private)
    assert "client level, no stated distance; who knows" in words(capsys.readouterr().out)
    show_summary(SUMMARY | private | {"distance": 1e-30})
    assert "no stated distance" not in words(capsys.readouterr().out)


def test_the_result_is_one_line_with_the_folder(capsys):
    show_result(SUMMARY, Path("runs/iris"))
    assert capsys.readouterr().out == (
        "test accuracy 0.9500 after 30 rounds, 9.0 s; everything is in runs/iris\n"
    )


def test_the_result_of_a_private_run_has_no_seconds_that_it_was_not_given(capsys):
    shown = {name: value for name, value in SUMMARY.items() if "seconds" not in name}
    show_result(shown | {"epsilon": 2.0, "delta": 1e-5}, Path("x"))
    assert capsys.readouterr().out == (
        "test accuracy 0.9500 after 30 rounds, ε = 2 at δ = 1e-05; everything is in x\n"
    )

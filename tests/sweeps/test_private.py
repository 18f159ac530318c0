"""A private sweep releases its best run alone, tells ε of everything, and not how many runs it had.

The reader of `clues` has the folder's parent, all files there with their times, and the terminal.
"""

import json
import math
import random
import re
import secrets
import stat
import time
from dataclasses import replace
from fractions import Fraction

import dp_accounting
import jax
import numpy as np
import pytest
from dp_accounting.dp_event import RepeatAndSelectDpEvent
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian
from dp_accounting.rdp import RdpAccountant
from scipy.optimize import brentq
from scipy.stats import chisquare, norm

from pride_jax.engine.evaluation import evaluator
from pride_jax.errors import ConfigError, DivergedError, PrideError, RunError
from pride_jax.files import read_json
from pride_jax.models.parameters import read_parameters
from pride_jax.privacy.amplification import ORDERS
from pride_jax.privacy.number_of_runs import AtMost, NegativeBinomial, Poisson
from pride_jax.privacy.tuning import HeldOutScore, PublicScore
from pride_jax.reporting.sweep_terminal import show_private, show_promise
from pride_jax.settings import build, learning
from pride_jax.settings.experiment import (
    Client,
    Cohort,
    Data,
    Evaluation,
    Experiment,
    Model,
    Partition,
    Privacy,
)
from pride_jax.sweeps import private, scoring
from pride_jax.sweeps.family import Asked, family, parse_score
from pride_jax.sweeps.private import draw, private_sweep
from pride_jax.sweeps.scoring import noised_accuracy

SMALL = Experiment(
    rounds=3,
    data=Data("iris", test_examples=60),
    partition=Partition("iid", clients=12, held_out=0.3),
    model=Model("logistic"),
    client=Client(learning_rate=0.3),
    cohort=Cohort(weighting="uniform"),
    privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=4.0, delta=1e-2),
    evaluation=Evaluation(every=3),
)
RATES = ("client.learning_rate", ["0.1", "0.2", "0.4"])
ASKED = Asked(SMALL, [RATES], NegativeBinomial(4.0), PublicScore(), 1)
SECONDS = 0.05


class Runs:
    """In the place of training: runs that take a while and are scored by their learning rate."""

    def __init__(self, monkeypatch, asked=ASKED, count=3):
        self.rates, self.dies_at = [], math.inf
        monkeypatch.setattr(scoring, "scorer", lambda asked: self)
        drawn = draw(asked, 3, random.Random(1).randrange)
        slots = [0, 2, 1, 1, 0, 2, 0, 1, 1, 2, 0, 2][: asked.runs.slots(count)]
        drawn = drawn._replace(count=count, slots=slots)
        monkeypatch.setattr(private, "draw", lambda *_: drawn)

    def __call__(self, config, folder, model, below):
        rate = config.client.learning_rate
        self.rates.append(rate)
        (folder / "checkpoints").mkdir(parents=True)
        time.sleep(SECONDS)
        if len(self.rates) == self.dies_at:
            raise KeyboardInterrupt
        model.write_bytes(f"the model of {rate}".encode())
        return rate, {"accuracy": rate}


def swept(asked, workdir):
    return private_sweep(asked, workdir, show_promise)


# What is drawn.


def test_settings_are_drawn_uniformly_independently_and_with_replacement():
    below, pairs = random.Random(2).randrange, np.zeros((3, 3))
    while pairs.sum() < 1500:
        slots = draw(ASKED, 3, below).slots
        for one, other in zip(slots[::2], slots[1::2], strict=False):
            pairs[one, other] += 1
    assert chisquare(pairs.ravel()).pvalue > 1e-3
    # The same settings again are as likely as others; a grid would have none.
    assert 0.27 < np.trace(pairs) / pairs.sum() < 0.40


def test_the_number_of_runs_is_geometric_with_the_mean_that_was_asked_for():
    below = random.Random(3).randrange
    counts = np.bincount([draw(ASKED, 3, below).count for _ in range(2000)])

    def p_value(mean):
        law = (1 - 1 / mean) ** np.arange(12) / mean
        seen = np.append(counts[1:13], counts[13:].sum())
        return chisquare(seen, 2000 * np.append(law, 1 - law.sum())).pvalue

    assert p_value(4.0) > 1e-3
    assert p_value(4.8) < 1e-4


def test_draws_come_from_the_operating_system():
    assert private_sweep.__defaults__ == (secrets.randbelow,)


# What is released, and what a reader learns of the rest.


def clues(parent, shown):
    """Every number of runs that a reader comes to: from names, contents, times, the terminal."""
    found = set()
    files = list(parent.rglob("*"))
    folders = [path for path in files if path.is_dir() and re.search(r"[0-9a-f]{16}$", path.name)]
    if folders:
        found.add(len(folders))
    for path in files:
        if path.name == "draws":
            found.add(json.loads(path.read_text())["count"])
    times = [path.stat().st_mtime for path in files if path.is_file()]
    if (spread := max(times) - min(times)) > SECONDS:
        found.add(round(spread / SECONDS))
    found.update(int(number) for number in re.findall(r"(\d+) runs", shown))
    return found


@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_reader_finds_the_best_run_and_no_number(tmp_path, monkeypatch, capsys, count):
    runs = Runs(monkeypatch, count=count)
    result = swept(ASKED, tmp_path / "sweep")
    show_private(result, tmp_path / "sweep")
    assert len(runs.rates) == count
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1].startswith("best: client.learning_rate=")
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
    names = {path.name for path in (tmp_path / "sweep").rglob("*")}
    told = {"private_sweep.json", "config.json", "model.safetensors", "disclosure.json", "env.json"}
    assert names == told
    best = str(max(runs.rates))
    assert result["best"][0]["settings"] == {"client.learning_rate": best}
    assert (tmp_path / "sweep" / "model.safetensors").read_text() == f"the model of {best}"
    assert read_json(tmp_path / "sweep" / "config.json")["client"]["learning_rate"] == float(best)
    assert clues(tmp_path, shown) == set()


@pytest.mark.parametrize("count", [3, 7])
def test_without_destruction_the_same_reader_finds_it(tmp_path, monkeypatch, capsys, count):
    Runs(monkeypatch, count=count)
    monkeypatch.setattr(private, "destroy", lambda secret: None)
    monkeypatch.setattr(private, "_remove_all_but", lambda secret, best: None)
    swept(ASKED, tmp_path / "sweep")
    assert count in clues(tmp_path, capsys.readouterr().out)


def test_the_released_folder_is_no_older_than_the_end(tmp_path, monkeypatch):
    Runs(monkeypatch, count=7)
    before_the_end = time.time() + 6 * SECONDS
    swept(ASKED, tmp_path / "sweep")
    for path in (tmp_path / "sweep", *(tmp_path / "sweep").iterdir()):
        assert min(path.stat().st_mtime, path.stat().st_ctime) > before_the_end - 0.01
    started = read_json(tmp_path / "sweep" / "env.json")[0]["started"]
    assert started[-6:] == "+00:00"


@pytest.mark.parametrize("count", [2, 5])
def test_with_slots_as_many_runs_are_carried_out_whatever_is_drawn(tmp_path, monkeypatch, count):
    asked = ASKED._replace(runs=AtMost(Poisson(1.1), 12))
    runs = Runs(monkeypatch, asked, count)
    result = swept(asked, tmp_path / "sweep")
    assert len(runs.rates) == 12
    # Those that were drawn beyond the number cannot be chosen: the first two or five hold the best.
    assert result["best"][0]["settings"] == {"client.learning_rate": "0.4"}


def test_a_run_that_only_fills_a_slot_is_not_chosen(tmp_path, monkeypatch):
    asked = ASKED._replace(runs=AtMost(Poisson(1.1), 12))
    runs = Runs(monkeypatch, asked, 1)
    result = swept(asked, tmp_path / "sweep")
    assert len(runs.rates) == 12 and max(runs.rates) == 0.4
    assert result["best"][0]["settings"] == {"client.learning_rate": "0.1"}


def test_until_the_end_nobody_else_may_look(tmp_path, monkeypatch):
    runs = Runs(monkeypatch)
    runs.dies_at = 2
    with pytest.raises(KeyboardInterrupt):
        swept(ASKED, tmp_path / "sweep")
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.secret"]
    assert stat.S_IMODE((tmp_path / "sweep.secret").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "sweep.secret" / "draws").stat().st_mode) == 0o600
    assert repr(draw(ASKED, 3, random.randrange)) == "<hidden: the draws of a private sweep>"


# Runs that die, diverge, or are asked for again.


def test_a_killed_sweep_goes_on_with_what_was_drawn(tmp_path, monkeypatch):
    runs = Runs(monkeypatch, count=5)
    runs.dies_at = 3
    with pytest.raises(KeyboardInterrupt):
        swept(ASKED, tmp_path / "sweep")
    # Whoever drew again would have one run of the middle rate.
    other = draw(ASKED, 3, random.Random(1).randrange)._replace(count=1, slots=[1])
    monkeypatch.setattr(private, "draw", lambda *_: other)
    runs.dies_at = math.inf
    result = swept(ASKED, tmp_path / "sweep")
    # The third was interrupted, and is done again.
    assert runs.rates == [0.1, 0.4, 0.2, 0.2, 0.2, 0.1]
    assert result["best"][0]["score"] == 0.4
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_what_died_after_its_release_is_only_tidied_up(tmp_path, monkeypatch):
    runs = Runs(monkeypatch)
    with monkeypatch.context() as context:
        context.setattr(private, "destroy", lambda secret: None)
        first = swept(ASKED, tmp_path / "sweep")
    assert swept(ASKED, tmp_path / "sweep") == first
    assert len(runs.rates) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_another_sweep_in_its_place_is_refused(tmp_path, monkeypatch):
    runs = Runs(monkeypatch)
    runs.dies_at = 2
    with pytest.raises(KeyboardInterrupt):
        swept(ASKED, tmp_path / "sweep")
    other = ASKED._replace(runs=NegativeBinomial(5.0))
    with pytest.raises(RunError, match="begun with other settings: runs: 'geometric with mean 4'"):
        swept(other, tmp_path / "sweep")
    runs.dies_at = math.inf
    swept(ASKED, tmp_path / "sweep")
    with pytest.raises(RunError, match="begun with other settings"):
        swept(other, tmp_path / "sweep")


def test_lost_draws_are_not_drawn_again(tmp_path, monkeypatch):
    runs = Runs(monkeypatch)
    runs.dies_at = 2
    with pytest.raises(KeyboardInterrupt):
        swept(ASKED, tmp_path / "sweep")
    (tmp_path / "sweep.secret" / "draws").unlink()
    with pytest.raises(RunError, match="which says what was drawn"):
        swept(ASKED, tmp_path / "sweep")


def test_a_folder_with_anything_in_it_is_refused(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "notes").touch()
    with pytest.raises(RunError, match="not empty"):
        swept(ASKED, tmp_path / "sweep")


def test_a_run_that_diverges_is_the_worst(tmp_path, monkeypatch, capsys):
    runs = Runs(monkeypatch)

    def only(rates):
        def score(config, *others):
            if config.client.learning_rate not in rates:
                raise DivergedError("Training diverged")
            return runs(config, *others)

        return score

    monkeypatch.setattr(scoring, "scorer", lambda asked: only([0.1, 0.2]))
    assert swept(ASKED, tmp_path / "one")["best"][0]["score"] == 0.2
    monkeypatch.setattr(scoring, "scorer", lambda asked: only([]))
    result = swept(ASKED, tmp_path / "none")
    assert result["best"] == [] and not (tmp_path / "none" / "model.safetensors").exists()
    show_private(result, tmp_path / "none")
    assert capsys.readouterr().out.splitlines()[-1].startswith("Every run diverged, and no model")


# Scores by clients' data.


def test_noise_on_clients_accuracies_is_what_is_accounted():
    totals = np.array([[3.0, 4.0], [0.0, 0.0], [5.0, 5.0]])
    below = random.Random(4).randrange
    drawn = [3 * noised_accuracy(totals, 0.5, below) - 1.75 for _ in range(1000)]
    assert abs(np.mean(drawn)) < 4 * 0.5 / math.sqrt(1000)
    # 1000 squared normals: their mean is within 14% of 1 but once in 2000.
    assert abs(np.var(drawn) / 0.25 - 1) < 0.14
    assert abs(np.var(drawn) / 0.16 - 1) > 0.14


def test_a_client_moves_the_sum_of_accuracies_by_at_most_one():
    rng, quiet = np.random.default_rng(5), Fraction(1, 10**9)
    for _ in range(50):
        answers = rng.integers(0, 9, 6)
        totals = np.stack([rng.integers(0, answers + 1), answers], axis=1).astype(float)
        gone = totals.copy()
        gone[2] = 0
        moved = [
            6 * noised_accuracy(each, float(quiet), random.randrange) for each in (totals, gone)
        ]
        assert -1e-9 <= moved[0] - moved[1] <= 1 + 1e-9


# The whole, trained.


def get_delta_gaussian(noise, epsilon):
    """Balle & Wang 2018, theorem 8."""
    return norm.cdf(0.5 / noise - epsilon * noise) - math.exp(epsilon) * norm.cdf(
        -0.5 / noise - epsilon * noise
    )


def exact(noise):
    """ε of everything by profiles, of a run that is one Gaussian mechanism, score included."""
    single = 1 / math.sqrt(3 / 4.0**2 + (1 / noise**2 if noise else 0))

    def gap(epsilon):
        return get_delta_gaussian(single, epsilon) - math.expm1(epsilon) / (4 - 1)

    return 2 * brentq(gap, 1e-9, 9, xtol=1e-12) + get_epsilon_gaussian(single, 1e-2 / 4)


def by_the_library(asked, noise):
    """ε of everything by Rényi divergences, for everybody in every round."""
    run = [dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(4.0), 3)]
    run += [dp_accounting.GaussianDpEvent(noise)] if noise else []
    event = dp_accounting.ComposedDpEvent(run)
    accountant = RdpAccountant(ORDERS.tolist(), dp_accounting.NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(RepeatAndSelectDpEvent(event, mean=asked.runs.mean, shape=1))
    return accountant.get_epsilon(1e-2)


@pytest.mark.parametrize("noise", [None, 2.0])
def test_a_private_sweep_is_trained_scored_and_accounted(tmp_path, monkeypatch, noise):
    score = parse_score("test" if noise is None else "held-out", noise)
    asked = ASKED._replace(score=score, released=2)
    drawn = draw(asked, 3, secrets.randbelow)._replace(count=1, slots=[1])
    monkeypatch.setattr(private, "draw", lambda *_: drawn)
    result = swept(asked, tmp_path / "sweep")
    assert exact(noise) <= result["epsilon"] <= by_the_library(asked, noise)
    if noise is None:
        assert result["epsilon"] < 1.01 * exact(noise)
    assert result["epsilon"] < result["epsilon_of_all_released"] < 3 * result["epsilon"]
    assert f"ε = {result['epsilon']:.4g} at δ = 0.01 for everything" in result["guarantee"]
    assert "2 such sweeps" in result["guarantee"]
    dataset = build.build_dataset(SMALL)
    task = learning.build_task(SMALL, learning.Shape((4,), 3))
    model = learning.build_model(SMALL, learning.Shape((4,), 3))
    params = read_parameters(tmp_path / "sweep" / "model.safetensors", model)
    (best,) = result["best"]
    assert evaluator(task, dataset)(params).accuracy == best["test_accuracy"]
    if noise is None:
        assert best["score"] == best["test_accuracy"]
    told = read_json(tmp_path / "sweep" / "disclosure.json")
    assert told["guarantee"] == result["guarantee"]
    flattered = [each for each in told["statements"] if "flatters" in each]
    assert len(flattered) == (noise is None)
    assert jax.tree.leaves(params)


# What is refused, before anything is drawn.


def refused(tmp_path, asked):
    with pytest.raises(PrideError) as error:
        swept(asked, tmp_path / "sweep")
    assert list(tmp_path.iterdir()) == []
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["seed", "data.name", "partition.clients", "privacy.delta", "privacy.seed"]
)
def test_what_says_who_the_clients_are_is_not_tuned(tmp_path, name):
    told = refused(tmp_path, ASKED._replace(over=[(name, ["0.1", "0.2"])]))
    assert told.startswith(f"--over {name}=…")


def test_runs_that_share_their_noise_have_no_noise_or_cannot_be_scored_are_refused(tmp_path):
    def told(asked=ASKED, **privacy):
        config = replace(asked.config, privacy=replace(SMALL.privacy, **privacy))
        return refused(tmp_path, asked._replace(config=config))

    assert "are not independent" in told(seed=3)
    assert "expected a mechanism" in refused(
        tmp_path, ASKED._replace(config=replace(SMALL, privacy=Privacy()))
    )
    nothing = replace(SMALL, partition=Partition("iid", clients=12))
    assert "a share that clients hold out" in refused(
        tmp_path, ASKED._replace(config=nothing, score=HeldOutScore(1.0))
    )
    assert "expected a bound that is hardly ever exceeded" in refused(
        tmp_path, ASKED._replace(runs=AtMost(NegativeBinomial(4.0), 20))
    )


def test_settings_whose_neighbours_differ_are_refused(tmp_path):
    mixed = [("cohort.sampling", ["full", "fixed_size"])]
    assert "plans with neighbours of" in refused(tmp_path, ASKED._replace(over=mixed))


@pytest.mark.parametrize(("score", "noise"), [("test", 1.0), ("held-out", None)])
def test_noise_is_asked_for_where_clients_data_are_read_and_nowhere_else(score, noise):
    with pytest.raises(ConfigError, match="with, and only with, --score held-out"):
        parse_score(score, noise)


def test_every_combination_may_be_drawn():
    choices = family(ASKED._replace(over=[RATES, ("rounds", ["2", "3"])]))
    assert len({tuple(each.settings.items()) for each in choices}) == 6
    assert {each.config.rounds for each in choices} == {2, 3}

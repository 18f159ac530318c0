"""Exact draws have their distributions, and a slightly wrong one is noticed."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import chisquare

from pride_jax.privacy.exact import discrete_gaussian, negative_binomial, poisson

DRAWS = 6_000


def binomial_law(stop, shape, largest=2000):
    """Definition 1 of Papernot & Steinke (2022), written out."""
    numbers = np.arange(1, largest)
    if shape == 0:
        return (1 - stop) ** numbers / (numbers * math.log(1 / stop))
    factors = np.cumprod((numbers - 1 + shape) / numbers)
    return (1 - stop) ** numbers / (stop**-shape - 1) * factors


def poisson_law(mean, largest=200):
    numbers = np.arange(1, largest)
    return np.append(1.0, np.cumprod(mean / numbers)) * math.exp(-mean)


def gaussian_law(variance, largest=60):
    numbers = np.arange(-largest, largest + 1)
    weights = np.exp(-(numbers**2) / (2 * variance))
    return weights / weights.sum()


def p_value(draws, law, first):
    """Of draws against probabilities of first, first + 1, …; rare numbers are put together."""
    counts = np.bincount(np.array(draws) - first, minlength=len(law))[: len(law)]
    common = law * len(draws) >= 10
    observed = np.append(counts[common], len(draws) - counts[common].sum())
    expected = np.append(law[common], 1 - law[common].sum()) * len(draws)
    return chisquare(observed, expected * (observed.sum() / expected.sum())).pvalue


def drawn(draw, seed):
    below = random.Random(seed).randrange
    return [draw(below) for _ in range(DRAWS)]


CASES = {
    "geometric": (
        lambda below: negative_binomial(below, Fraction(1), Fraction(1, 10)),
        (binomial_law(0.1, 1), binomial_law(0.115, 1)),
        1,
    ),
    "logarithmic": (
        lambda below: negative_binomial(below, Fraction(0), Fraction(1, 10)),
        (binomial_law(0.1, 0), binomial_law(0.15, 0)),
        1,
    ),
    "a half": (
        lambda below: negative_binomial(below, Fraction(1, 2), Fraction(1, 10)),
        (binomial_law(0.1, 0.5), binomial_law(0.12, 0.5)),
        1,
    ),
    "below zero": (
        lambda below: negative_binomial(below, Fraction(-1, 2), Fraction(1, 10)),
        (binomial_law(0.1, -0.5), binomial_law(0.1, -0.4)),
        1,
    ),
    "poisson": (
        lambda below: poisson(below, Fraction(33, 10)),
        (poisson_law(3.3), poisson_law(3.0)),
        0,
    ),
    "gaussian": (
        lambda below: discrete_gaussian(below, Fraction(9, 4)),
        (gaussian_law(2.25), gaussian_law(2.7)),
        -60,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_draw_has_its_distribution_and_a_wrong_one_is_noticed(name):
    draw, (law, wrong), first = CASES[name]
    draws = drawn(draw, f"a fixed seed of {name}")
    assert law.sum() == pytest.approx(1) and wrong.sum() == pytest.approx(1)
    assert p_value(draws, law, first) > 1e-3
    assert p_value(draws, wrong, first) < 1e-4


class _Branches:
    """Answers by a given path, and notes how many answers each question had."""

    def __init__(self, path):
        self.path, self.asked = path, []

    def __call__(self, most):
        place = len(self.asked)
        if place >= len(self.path):
            raise IndexError
        self.asked.append(most)
        return self.path[place]


def exact_probabilities(draw, depth):
    """Pr[a result and at most so many questions], over all answers to each."""
    found, open_paths = {}, [((), Fraction(1))]
    while open_paths:
        path, probability = open_paths.pop()
        branches = _Branches(path)
        try:
            result = draw(branches)
        except IndexError:
            if len(path) < depth:
                options = _options(draw, path)
                shares = probability / options
                open_paths += [((*path, answer), shares) for answer in range(options)]
        else:
            found[result] = found.get(result, Fraction(0)) + probability
    return found


def _options(draw, path):
    """How many answers the question after a path has."""

    class QuestionError(Exception):
        pass

    answers = iter(path)

    def below(most):
        for answer in answers:
            return answer
        raise QuestionError(most)

    with pytest.raises(QuestionError) as asked:
        draw(below)
    return asked.value.args[0]


def test_a_geometric_number_has_exactly_its_probabilities():
    found = exact_probabilities(lambda b: negative_binomial(b, Fraction(1), Fraction(1, 3)), 7)
    assert found[1] == Fraction(1, 3)
    assert found[2] == Fraction(2, 9)
    assert found[3] == Fraction(4, 27)


def test_no_probability_of_a_number_that_may_be_refused_is_exceeded():
    found = exact_probabilities(lambda b: poisson(b, Fraction(1, 2)), 9)
    law = poisson_law(0.5)
    assert all(float(found[number]) <= law[number] + 1e-12 for number in found)
    assert float(sum(found.values())) > 0.9

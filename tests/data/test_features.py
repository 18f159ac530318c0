"""Features stand in for pixels, example by example, and are computed once."""

import numpy as np
import pytest

from pride_jax.data import features
from pride_jax.data.datasets import load_dataset
from pride_jax.data.features import with_scattering
from pride_jax.errors import DataError


@pytest.fixture
def digits(monkeypatch, tmp_path):
    monkeypatch.setenv("PRIDE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(
        features,
        "whitened_scattering",
        lambda images, tell: images.reshape(len(images), -1).astype(np.float32) + 1,
    )
    return load_dataset("digits")


def test_every_example_keeps_its_label_and_gets_its_own_features(digits):
    made = with_scattering(digits)
    np.testing.assert_array_equal(made.train_targets, digits.train_targets)
    expected = digits.train_inputs.reshape(-1, 64) * digits.scale + 1
    np.testing.assert_allclose(made.train_inputs, expected, rtol=1e-6)
    assert (made.shift, made.scale) == (0, 1)


def test_features_are_computed_once(digits, monkeypatch):
    first = with_scattering(digits)
    monkeypatch.setattr(features, "whitened_scattering", lambda images, tell: 1 / 0)
    np.testing.assert_array_equal(with_scattering(digits).train_inputs, first.train_inputs)
    with pytest.raises(ZeroDivisionError):
        with_scattering(digits._replace(train_inputs=digits.train_inputs[:-1]))


def test_a_folder_that_cannot_be_written_is_told(digits, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRIDE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="could not be kept.*PRIDE_CACHE_DIR"):
        made = with_scattering(digits)
    assert made.test_inputs.shape == (len(digits.test_targets), 64)


def test_what_is_no_image_is_refused():
    with pytest.raises(DataError, match=r"iris has inputs of shape \[4\]"):
        with_scattering(load_dataset("iris"))

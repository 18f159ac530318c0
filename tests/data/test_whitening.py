"""Whitened scattering: fixed by noise images alone, so that no example touches another."""

import numpy as np
import pytest

from pride_jax.data.whitening import smooth_noise, whitened_scattering
from pride_jax.errors import ConfigError


def images(count=6):
    return np.random.default_rng(1).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def test_features_depend_on_their_own_image_alone():
    some = images()
    together = whitened_scattering(some, scales=2, angles=2, dimensions=20)
    alone = whitened_scattering(some[3:4], scales=2, angles=2, dimensions=20)
    np.testing.assert_allclose(together[3:4], alone, rtol=1e-3, atol=1e-3)


def test_features_have_length_root_d():
    features = whitened_scattering(images(), scales=2, angles=2, dimensions=20)
    assert features.shape == (6, 20) and features.dtype == np.float32
    np.testing.assert_allclose((features**2).mean(1), 1, rtol=1e-5)


def test_noise_images_come_out_white():
    noise = smooth_noise(4000, 28)
    features = whitened_scattering(noise, scales=2, angles=2, dimensions=300)
    np.testing.assert_allclose(features.mean(0), 0, atol=0.2)
    np.testing.assert_allclose(np.cov(features, rowvar=False), np.eye(300), atol=0.4)


def test_noise_images_are_blots():
    noise = smooth_noise(200, 28)
    assert noise.min() == 0 and noise.max() == 1
    # A standard normal exceeds one deviation in 15.9% of cases.
    assert np.mean(noise > 0) == pytest.approx(0.159, abs=0.01)
    np.testing.assert_array_equal(noise, smooth_noise(200, 28))


@pytest.mark.parametrize("dimensions", [0, 13 * 49 + 1])
def test_refuses_dimensions_that_are_not_there(dimensions):
    with pytest.raises(ConfigError, match="dimensions"):
        whitened_scattering(images(1), scales=2, angles=2, dimensions=dimensions)

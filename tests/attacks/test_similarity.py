"""PSNR and SSIM: their definitions, written out again without a line in common."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pride_jax.attacks.similarity import psnr, ssim


def image(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape or (14, 16, 1), np.float32)


def ssim_in_loops(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, place by place, on one channel."""
    rows, columns = np.mgrid[-5:6, -5:6]
    window = np.exp(-(rows**2 + columns**2) / 4.5)
    window /= window.sum()
    values = []
    for row in range(a.shape[0] - 10):
        for column in range(a.shape[1] - 10):
            x, y = (each[row : row + 11, column : column + 11].astype(float) for each in (a, b))
            mean_x, mean_y = (window * x).sum(), (window * y).sum()
            var_x = (window * (x - mean_x) ** 2).sum()
            var_y = (window * (y - mean_y) ** 2).sum()
            cov = (window * (x - mean_x) * (y - mean_y)).sum()
            values.append(
                (2 * mean_x * mean_y + 1e-4)
                * (2 * cov + 9e-4)
                / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))
            )
    return float(np.mean(values))


def test_ssim_is_wangs() -> None:
    a, b = image(0), image(1)
    mixed = 0.7 * a + 0.3 * b
    for other in (b, mixed, 1 - a):
        expected = ssim_in_loops(a[..., 0], other[..., 0])
        assert float(ssim(jnp.asarray(a), jnp.asarray(other))) == pytest.approx(expected, abs=1e-4)


def test_ssim_of_constants_is_their_luminance_alone() -> None:
    a, b = jnp.full((11, 11, 1), 0.2), jnp.full((11, 11, 1), 0.6)
    assert float(ssim(a, b)) == pytest.approx((0.24 + 1e-4) / (0.4 + 1e-4), rel=1e-3)


def test_an_image_is_most_like_itself() -> None:
    a, b = jnp.asarray(image(0)), jnp.asarray(image(1))
    assert float(ssim(a, a)) == pytest.approx(1.0, abs=1e-6)
    assert float(psnr(a, a)) == float("inf")
    assert float(ssim(a, b)) == pytest.approx(float(ssim(b, a)), abs=1e-6)
    assert float(ssim(a, 1 - a)) < 0 < float(ssim(a, 0.9 * a)) < 1


@pytest.mark.parametrize(("error", "decibels"), [(1.0, 0.0), (0.1, 20.0), (0.001, 60.0)])
def test_psnr_of_a_constant_error(error: float, decibels: float) -> None:
    black = jnp.zeros((12, 12, 3))
    assert float(psnr(black + error, black)) == pytest.approx(decibels, abs=1e-3)


def test_batches_and_channels() -> None:
    a, b = jnp.asarray(image(2, 3, 2, 12, 13, 3)), jnp.asarray(image(3, 3, 2, 12, 13, 3))
    for measure in (psnr, ssim):
        together = measure(a, b)
        assert together.shape == (3, 2)
        one_by_one = jax.vmap(jax.vmap(measure))(a, b)
        np.testing.assert_allclose(together, one_by_one, rtol=1e-5)
    channels = [ssim(a[..., c : c + 1], b[..., c : c + 1]) for c in range(3)]
    np.testing.assert_allclose(ssim(a, b), jnp.mean(jnp.stack(channels), axis=0), rtol=1e-4)

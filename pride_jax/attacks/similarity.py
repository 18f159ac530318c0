"""How alike two images are: PSNR and SSIM."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(
    image: Float[Array, "*batch height width channels"],
    original: Float[Array, "*batch height width channels"],
) -> Float[Array, "*batch"]:
    """Peak signal-to-noise ratio −10·log₁₀(MSE), in dB, for values in 0 … 1.

    8-bit rounding alone has 59 dB, and images that are equal in float32 have infinity.
    """
    error = jnp.mean((image - original) ** 2, axis=(-3, -2, -1))
    return -10 * jnp.log10(error)


def ssim(
    image: Float[Array, "*batch height width channels"],
    original: Float[Array, "*batch height width channels"],
) -> Float[Array, "*batch"]:
    """Mean structural similarity, 1 for equal images, for values in 0 … 1.

    Wang, Bovik, Sheikh & Simoncelli 2004, "Image quality assessment: from error visibility to
    structural similarity", eqs. 13–17: an 11×11 Gaussian window of standard deviation 1.5 weighs
    means, variances and covariance; K₁ = 0.01, K₂ = 0.03; the mean is over the places at which the
    whole window lies within the image, and over channels.
    """
    mean_a, mean_b = _smooth(image), _smooth(original)
    variance_a = _smooth(image**2) - mean_a**2
    variance_b = _smooth(original**2) - mean_b**2
    covariance = _smooth(image * original) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    return jnp.mean(luminance * structure, axis=(-3, -2, -1))


def _smooth(
    images: Float[Array, "*batch height width channels"],
) -> Float[Array, "*batch rows columns channels"]:
    places = jnp.arange(_WINDOW, dtype=jnp.float32) - _WINDOW // 2
    weights = jnp.exp(-(places**2) / (2 * _SIGMA**2))
    weights /= jnp.sum(weights)

    def along(axis: int, values: Array) -> Array:
        rest = values.shape[axis] - _WINDOW + 1
        moved = [jax.lax.slice_in_dim(values, at, at + rest, axis=axis) for at in range(_WINDOW)]
        return jnp.tensordot(weights, jnp.stack(moved), axes=1)

    return along(images.ndim - 2, along(images.ndim - 3, images))

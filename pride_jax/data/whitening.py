"""Scattering features as a linear model likes them: whitened by the statistics of random images."""

import functools

import numpy as np
from jaxtyping import Float32, Shaped

from pride_jax.data.scattering import normalized, scattering
from pride_jax.errors import ConfigError
from pride_jax.progress import Tell, silent

_NOISE_IMAGES = 4000
_BLUR = 1.5


def whitened_scattering(
    images: Shaped[np.ndarray, "images size size"],
    *,
    scales: int = 3,
    angles: int = 6,
    dimensions: int = 500,
    tell: Tell = silent,
) -> Float32[np.ndarray, "images dimensions"]:
    """Normalized scattering features, centred, whitened, cut to a few dimensions and to length √d.

    Features that are centred and uncorrelated are learnt in few steps and survive clipping, as the
    clients' updates share no common direction. The mean and the principal axes are those of
    `smooth_noise`, hence the same for every data set, and cost no privacy: random images stand in
    for public ones, as in Baradad et al. (2021), "Learning to See by Looking at Noise".

    Args:
      images: bytes, or numbers in 0 … 1.
      scales: of `scattering`.
      angles: of `scattering`.
      dimensions: principal axes kept, each scaled to variance one over the noise images.
      tell: as of `scattering`.

    Raises:
      ConfigError: more dimensions than noise images or scattering features, or as in `scattering`.
    """
    scatter = functools.partial(scattering, scales=scales, angles=angles, tell=tell)
    noise = normalized(scatter(smooth_noise(_NOISE_IMAGES, images.shape[1])))
    most = min(len(noise) - 1, noise.shape[1])
    if not 1 <= dimensions <= most:
        raise ConfigError(f"Expected dimensions in 1 … {most}, got {dimensions}")
    mean = noise.mean(0)
    variances, axes = np.linalg.eigh(np.cov(noise, rowvar=False, dtype=np.float32))
    whitening = axes[:, -dimensions:] / np.sqrt(variances[-dimensions:])
    features = (normalized(scatter(images)) - mean) @ whitening
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features * (np.sqrt(np.float32(dimensions)) / np.maximum(lengths, 1e-12))


def smooth_noise(count: int, size: int) -> Float32[np.ndarray, "count size size"]:
    """Blots: blurred white noise, from 0 where it is below one standard deviation to 1 above 1.5.

    The blur is a Gaussian of 1.5 pixels that wraps around; the images are the same at every call.
    """
    frequencies = np.fft.fftfreq(size)
    squared = frequencies[:, None] ** 2 + frequencies**2
    blur = np.exp(-2 * (np.pi * _BLUR) ** 2 * squared)
    white = np.random.default_rng(0).standard_normal((count, size, size))
    smooth = np.fft.ifft2(np.fft.fft2(white) * blur).real
    return np.clip(2 * (smooth / smooth.std() - 1), 0, 1).astype(np.float32)

"""Wavelet scattering: image features that no data was used to choose."""

from itertools import combinations

import numpy as np
from jaxtyping import Complex, Float32, Shaped

from pride_jax.errors import ConfigError
from pride_jax.progress import Tell, silent

_BATCH = 16
_LOG_SCALE = 100.0
_STAGE = "scattering images"


def scattering(
    images: Shaped[np.ndarray, "images height width"],
    *,
    scales: int = 2,
    angles: int = 8,
    tell: Tell = silent,
) -> Float32[np.ndarray, "images features"]:
    """Local averages of an image and of the moduli of its wavelet coefficients, to second order.

    With wavelets ψ of scales 2^j, j < J, and L angles, and a low-pass φ of scale 2^J, the features
    are x ∗ φ, |x ∗ ψ| ∗ φ and ||x ∗ ψ| ∗ ψ'| ∗ φ for ψ' coarser than ψ, every 2^J pixels. They are
    stable to small shifts and deformations, and each depends on its own image alone.

    Mallat (2012), "Group Invariant Scattering"; Bruna & Mallat (2013), "Invariant Scattering
    Convolution Networks"; Morlet wavelets and their subsampling as in Andreux et al. (2020),
    "Kymatio". Images wrap around, after zero-padding to a multiple of 2^J.

    Args:
      images: square; bytes stand for 0 … 1.
      scales: J.
      angles: L, evenly from 0 to π.
      tell: told how many images are done.

    Returns:
      Features ordered by channel, then place. There are 1 + LJ + L²J(J-1)/2 channels: for 28 × 28
      pixels 81 × 49 features with J = 2, L = 8, and 127 × 16 with J = 3, L = 6.

    Raises:
      ConfigError: the images are not square, or smaller than 2^J; J or L is below 1.
    """
    height, width = images.shape[1:]
    if scales < 1 or angles < 1 or height != width or height < 2**scales:
        raise ConfigError(
            f"Expected square images of at least 2^scales pixels, scales ≥ 1 and angles ≥ 1; got "
            f"{height} × {width} pixels, scales={scales}, angles={angles}"
        )
    size = -(-height // 2**scales) * 2**scales
    before = (size - height) // 2
    pad = (before, size - height - before)
    lowpass, wavelets = filters(size, scales, angles)
    unit = np.float32(1 / 255 if images.dtype == np.uint8 else 1)
    features = []
    for start in range(0, len(images), _BATCH):
        tell(_STAGE, start, len(images))
        batch = images[start : start + _BATCH].astype(np.float32) * unit
        channels = _scatter(np.pad(batch, ((0, 0), pad, pad)), lowpass, wavelets)
        features.append(channels.reshape(len(batch), -1))
    tell(_STAGE, len(images), len(images))
    return np.concatenate(features)


def normalized(
    features: Float32[np.ndarray, "images features"],
) -> Float32[np.ndarray, "images features"]:
    """Scattering features for a linear model: logarithm, mean 0, length 1, image by image.

    The logarithm evens out coefficients of very different size (Andén & Mallat 2014, "Deep
    Scattering Spectrum"). Nothing is estimated across images, as in the group normalisation of
    Tramèr & Boneh (2021), so that a model on top of it is as private as its training.
    """
    logarithm = np.log1p(_LOG_SCALE * np.abs(features))
    logarithm -= logarithm.mean(1, keepdims=True)
    return logarithm / np.maximum(np.linalg.norm(logarithm, axis=1, keepdims=True), 1e-12)


def filters(
    size: int, scales: int, angles: int
) -> tuple[Float32[np.ndarray, "size size"], Float32[np.ndarray, "scales angles size size"]]:
    """Transfer functions of the low-pass filter and of the Morlet wavelets, all real.

    Wavelet (j, l) is a plane wave of frequency 3π/4 · 2^-j under a Gaussian of standard deviation
    0.8 · 2^j along the wave and L/4 times that across it, less a Gaussian, so that its mean is
    exactly 0. One factor for all wavelets makes the largest value of
    |φ̂(ω)|² + ½ Σ (|ψ̂(ω)|² + |ψ̂(-ω)|²) one, so that energy never grows (Mallat 2012).
    """
    lowpass = np.real(_gabor(size, 0.8 * 2 ** (scales - 1), 1.0, 0.0, 0.0))
    wavelets = np.empty((scales, angles, size, size))
    for j, turn in np.ndindex(scales, angles):
        shape = (size, 0.8 * 2**j, 4 / angles, turn * np.pi / angles)
        wave, envelope = _gabor(*shape, 3 / 4 * np.pi / 2**j), _gabor(*shape, 0.0)
        wavelets[j, turn] = np.real(wave - wave[0, 0] / envelope[0, 0] * envelope)
    energy = (wavelets**2).sum((0, 1))
    energy = (energy + np.roll(energy[::-1, ::-1], (1, 1), (0, 1))) / 2
    room = 1 - lowpass**2
    passed = energy > 1e-9
    wavelets *= np.sqrt((room[passed] / energy[passed]).min())
    return lowpass.astype(np.float32), wavelets.astype(np.float32)


def _gabor(
    size: int, deviation: float, slant: float, angle: float, frequency: float
) -> Complex[np.ndarray, "size size"]:
    """The transform of a plane wave under a Gaussian of sum 1, wrapped around a torus."""
    reach = 3 * size
    rows, columns = np.mgrid[-reach:reach, -reach:reach]
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - columns * np.sin(angle)
    gaussian = np.exp(-(along**2 + (slant * across) ** 2) / (2 * deviation**2))
    wave = gaussian / gaussian.sum() * np.exp(1j * frequency * along)
    return np.fft.fft2(wave.reshape(6, size, 6, size).sum((0, 2)))


def _scatter(
    images: Float32[np.ndarray, "images size size"],
    lowpass: Float32[np.ndarray, "size size"],
    wavelets: Float32[np.ndarray, "scales angles size size"],
) -> Float32[np.ndarray, "images channels small small"]:
    scales = len(wavelets)

    def averaged(signal: np.ndarray, level: int) -> np.ndarray:
        spectrum = np.fft.fft2(signal) * _fold(lowpass, level)
        return np.fft.ifft2(_fold(spectrum, scales - level) / 4 ** (scales - level)).real

    def moduli(signal: np.ndarray, level: int, scale: int) -> np.ndarray:
        """|signal ∗ ψ| for all angles, from every 2^level-th pixel to every 2^scale-th."""
        spectrum = np.fft.fft2(signal)[..., None, :, :] * _fold(wavelets[scale], level)
        return np.abs(np.fft.ifft2(_fold(spectrum, scale - level) / 4 ** (scale - level)))

    first = [moduli(images, 0, scale) for scale in range(scales)]
    channels = [averaged(images, 0)[:, None]]
    channels += [averaged(signal, scale) for scale, signal in enumerate(first)]
    for scale, coarser in combinations(range(scales), 2):
        second = averaged(moduli(first[scale], scale, coarser), coarser)
        channels.append(second.reshape(len(images), -1, *second.shape[-2:]))
    return np.concatenate(channels, 1)


def _fold(spectrum: Shaped[np.ndarray, "*batch size size"], level: int) -> np.ndarray:
    """The sum of a spectrum's aliases: 4^level times that of every 2^level-th pixel."""
    if level == 0:
        return spectrum
    *batch, size, _ = spectrum.shape
    small = size // 2**level
    return spectrum.reshape(*batch, 2**level, small, 2**level, small).sum((-4, -2))

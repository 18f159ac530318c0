"""Scattering: stable to shifts, never more energy, angles that turn with the image."""

import numpy as np
import pytest

from pride_jax.data.scattering import filters, normalized, scattering
from pride_jax.errors import ConfigError

J, L = 2, 8


def blots(count, size, seed=0):
    """Blurred noise inside a dark margin, as digits have it."""
    white = np.random.default_rng(seed).standard_normal((count, size, size))
    frequencies = np.fft.fftfreq(size)
    blur = np.exp(-30 * (frequencies[:, None] ** 2 + frequencies**2))
    images = np.abs(np.fft.ifft2(np.fft.fft2(white) * blur).real)
    images[:, [0, 1, 2, 3, -4, -3, -2, -1]] = 0
    images[:, :, [0, 1, 2, 3, -4, -3, -2, -1]] = 0
    return (images / images.max()).astype(np.float32)


def channels(images, scales=J, angles=L):
    places = (-(-images.shape[1] // 2**scales)) ** 2
    return scattering(images, scales=scales, angles=angles).reshape(len(images), -1, places)


@pytest.mark.parametrize(
    ("scales", "angles", "shape"), [(3, 6, (127, 16)), (2, 8, (81, 49)), (1, 4, (5, 196))]
)
def test_channels_and_places(scales, angles, shape):
    assert channels(blots(2, 28), scales, angles).shape == (2, *shape)


def test_the_first_channel_is_a_local_average():
    np.testing.assert_allclose(
        channels(np.full((1, 28, 28), 0.5, np.float32))[0, 0], 0.5, atol=1e-6
    )


def test_bytes_stand_for_0_to_1():
    images = (blots(2, 28) * 255).astype(np.uint8)
    as_floats = images.astype(np.float32) / 255
    np.testing.assert_allclose(scattering(images), scattering(as_floats), atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_wavelets_do_not_see_constants(value):
    coefficients = channels(np.full((1, 28, 28), value, np.float32))
    np.testing.assert_allclose(coefficients[:, 1:], 0, atol=1e-6)


def test_a_batch_is_its_images_one_by_one():
    images = blots(19, 28)
    together = scattering(images)
    for number in (0, 15, 16, 18):
        alone = scattering(images[number : number + 1])[0]
        np.testing.assert_allclose(together[number], alone, atol=1e-6)


@pytest.mark.parametrize(("size", "scales", "angles"), [(28, 2, 8), (32, 3, 6)])
def test_the_filters_form_a_frame(size, scales, angles):
    lowpass, wavelets = filters(size, scales, angles)
    energy = (wavelets**2).sum((0, 1))
    mirrored = np.roll(energy[::-1, ::-1], (1, 1), (0, 1))
    littlewood_paley = lowpass**2 + (energy + mirrored) / 2
    np.testing.assert_allclose(littlewood_paley.max(), 1, rtol=1e-5)
    # Only the corners, which the roundest Morlet wavelets leave out, pass at less than a fifth.
    assert np.mean(littlewood_paley > 0.2) > 0.8
    assert lowpass[0, 0] == pytest.approx(1)
    np.testing.assert_allclose(wavelets[:, :, 0, 0], 0, atol=1e-7)


def test_energy_does_not_grow():
    images = blots(20, 28)
    energy = 4**J * (scattering(images) ** 2).sum(1)
    received = (images**2).sum((1, 2))
    assert np.all(energy <= received * (1 + 1e-5))
    assert np.all(energy >= received / 2)


def test_each_wavelet_answers_to_its_own_wave():
    columns = np.arange(28, dtype=np.float32)
    frequency = 2 * np.pi * 5 / 28  # the wave nearest to 3π/8, the frequency of j = 1
    wave = np.broadcast_to(np.cos(frequency * columns), (1, 28, 28)).astype(np.float32)
    first_order = channels(wave)[0, 1 : 1 + L * J].mean(-1).reshape(J, L)
    assert np.unravel_index(first_order.argmax(), (J, L)) == (1, 0)
    turned = channels(wave.transpose(0, 2, 1))[0, 1 : 1 + L * J].mean(-1).reshape(J, L)
    assert np.unravel_index(turned.argmax(), (J, L)) == (1, L // 2)


def test_whole_strides_move_the_places_along():
    images = blots(3, 28)
    before = channels(images).reshape(3, -1, 7, 7)
    after = channels(np.roll(images, 2**J, 2)).reshape(3, -1, 7, 7)
    np.testing.assert_allclose(after, np.roll(before, 1, 3), atol=1e-6)


def test_a_shift_by_a_pixel_moves_features_less_than_pixels():
    images = blots(20, 28)
    shifted = np.roll(images, 1, 2)

    def change(before, after):
        return np.linalg.norm(after - before) / np.linalg.norm(before)

    moved = change(scattering(images, scales=3), scattering(shifted, scales=3))
    assert moved < change(images, shifted) / 2


def test_a_quarter_turn_of_the_image_shifts_the_angles():
    images = blots(3, 28)
    # The pixel grid of a wrapped image turns about its origin.
    turned = np.roll(np.rot90(images, axes=(1, 2)), 1, 1)
    first, after = (
        channels(x)[:, 1 : 1 + J * L].mean(-1).reshape(3, J, L) for x in (images, turned)
    )
    np.testing.assert_allclose(after, np.roll(first, L // 2, 2), rtol=1e-4)


def test_normalized_features_have_mean_0_and_length_1_image_by_image():
    features = scattering(blots(5, 28))
    ready = normalized(features)
    np.testing.assert_allclose(ready.mean(1), 0, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(ready, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(ready[2:3], normalized(features[2:3]), rtol=1e-5, atol=1e-8)


def test_a_blank_image_normalizes_to_zeros():
    assert not normalized(scattering(np.zeros((1, 28, 28), np.uint8))).any()


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 28, 27), {}),
        ((1, 3, 3), {"scales": 2}),
        ((1, 28, 28), {"scales": 0}),
        ((1, 28, 28), {"angles": 0}),
    ],
)
def test_refuses_what_it_cannot_scatter(shape, options):
    with pytest.raises(ConfigError, match="square images"):
        scattering(np.zeros(shape, np.float32), **options)

import numpy as np
import pytest

from cch.base.errors import CchError
from cch.data.degradation import degrade, gaussian_blur, gaussian_noise
from cch.data.rng import numpy_generator


@pytest.fixture
def digits() -> np.ndarray:
    return numpy_generator("digits").integers(0, 256, (5, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("sigma", [0.5, 1.5, 2.5])
def test_one_bright_pixel_becomes_the_normalised_gaussian(sigma):
    image = np.zeros((1, 41, 41), np.uint8)
    image[0, 20, 20] = 200
    distance = np.arange(-20, 21)
    weight = np.exp(-(distance**2) / (2 * sigma**2)) * (abs(distance) <= int(4 * sigma + 0.5))
    weight /= weight.sum()
    expected = 200 * np.outer(weight, weight)
    np.testing.assert_allclose(gaussian_blur(image, sigma)[0], expected, rtol=1e-5, atol=1e-6)


def test_blur_keeps_the_mass_of_what_lies_far_from_the_border():
    image = np.zeros((1, 60, 60), np.float32)
    image[0, 25:35, 28:33] = 0.7
    blurred = gaussian_blur(image, 3.5)
    assert blurred.sum() == pytest.approx(image.sum(), rel=1e-5)
    assert blurred.max() < 0.7


def test_beyond_the_border_is_black():
    white = np.full((1, 28, 28), 255, np.uint8)
    blurred = gaussian_blur(white, 2.0)
    assert blurred[0, 14, 14] == pytest.approx(255, rel=1e-3)
    # Half of the kernel hangs over an edge, a quarter is left in a corner (the pixel's own column
    # counts for the inside).
    assert 127 < blurred[0, 0, 14] < 160
    assert 63 < blurred[0, 0, 0] < 100


def test_images_are_blurred_apart_from_each_other(digits):
    alone = np.concatenate([gaussian_blur(digits[i : i + 1], 1.5) for i in range(len(digits))])
    np.testing.assert_array_equal(gaussian_blur(digits, 1.5), alone)


def test_blur_of_bytes_is_not_rounded_and_stays_in_stored_units(digits):
    blurred = gaussian_blur(digits, 1.5)
    assert blurred.dtype == np.float32
    assert (blurred != blurred.round()).any()
    np.testing.assert_allclose(blurred, gaussian_blur(digits.astype(np.float32), 1.5), rtol=1e-6)


def test_dispatcher_blurs_flat_images_as_images(digits):
    flat = degrade(digits.reshape(5, -1), "blur", 2.5, shape=(28, 28))
    np.testing.assert_array_equal(flat.reshape(5, 28, 28), gaussian_blur(digits, 2.5))


@pytest.mark.parametrize("kind", ["blur", "noise"])
def test_level_zero_returns_the_values_themselves(digits, kind):
    values = digits.reshape(5, -1)
    assert degrade(values, kind, 0.0, shape=(28, 28)) is values
    assert gaussian_blur(digits, 0) is digits


def test_noise_has_the_asked_standard_deviation_in_each_feature():
    values = np.zeros((20_000, 3), np.float32)
    std = np.array([1.0, 0.1, 0.0])
    noisy = gaussian_noise(values, 0.4, std, numpy_generator("n"))
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(noisy.std(axis=0), 0.4 * std, rtol=0.03)
    np.testing.assert_allclose(noisy.mean(axis=0), 0, atol=0.02)


def test_levels_share_one_draw_and_keys_have_their_own():
    values = numpy_generator("v").standard_normal((50, 4)).astype(np.float32)

    def noise(level, *key):
        return degrade(values, "noise", level, shape=(4,), std=np.ones(4), key=key) - values

    np.testing.assert_allclose(noise(0.8, "a", 1), 4 * noise(0.2, "a", 1), atol=1e-6)
    np.testing.assert_array_equal(noise(0.2, "a", 1), noise(0.2, "a", 1))
    assert not np.allclose(noise(0.2, "a", 1), noise(0.2, "a", 2))


def test_the_input_is_left_as_it_was(digits):
    values = digits.reshape(5, -1)
    before = values.copy()
    degrade(values, "noise", 0.5, shape=(28, 28), std=np.ones(784), key=("k",))
    degrade(values, "blur", 0.5, shape=(28, 28))
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    ("kind", "level", "shape", "says"),
    [
        ("blur", -1.0, (28, 28), "negative"),
        ("blur", 1.0, (784,), "images"),
        ("noise", 0.2, (784,), "standard deviations"),
        ("modality", 0.2, (784,), "'blur' or 'noise'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(digits, kind, level, shape, says):
    with pytest.raises(CchError, match=says) as error:
        degrade(digits.reshape(5, -1), kind, level, shape=shape)
    assert "\n" not in str(error.value)

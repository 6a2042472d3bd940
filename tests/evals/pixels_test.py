import numpy as np
import pytest

from tvdim_jax.evals import pixels


def random_images(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_raw_pixels():
    images = random_images((2, 3, 5, 3))
    found = pixels.raw_pixels(images)
    assert found.shape == (2, 45)
    assert found.dtype == np.float32
    assert found[1, 3 * 5 * 1 + 3 * 2 + 1] == pytest.approx(images[1, 1, 2, 1] / 255)


def test_raw_pixels_of_larger_images_are_averaged_to_32():
    images = random_images((2, 64, 32, 3))
    wanted = images.reshape(2, 32, 2, 32, 3).mean(axis=2) / 255
    np.testing.assert_allclose(pixels.raw_pixels(images), wanted.reshape(2, -1), atol=1e-6)
    assert pixels.raw_pixels(random_images((1, 80, 80, 3))).shape == (1, 3072)


def test_thumbnail_is_the_mean_of_each_square():
    images = random_images((3, 64, 32, 3))
    found = pixels.pixels_and_gradients(images)[:, :768].reshape(3, 16, 16, 3)
    wanted = images.reshape(3, 16, 4, 16, 2, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_thumbnail_of_sizes_that_16_does_not_divide():
    images = random_images((1, 24, 36, 3))
    found = pixels.pixels_and_gradients(images)[:, :768].reshape(16, 16, 3)
    fine = images[0].repeat(2, axis=0).repeat(4, axis=1)  # 48 x 144: three by nine a square
    wanted = fine.reshape(16, 3, 16, 9, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def loop_histograms(image):
    luma = image / 255 @ [0.299, 0.587, 0.114]
    height, width = luma.shape
    cells = np.zeros((4, 4, 8))
    for y in range(height):
        for x in range(width):
            up, down = max(y - 1, 0), min(y + 1, height - 1)
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            dy = (luma[down, x] - luma[up, x]) / (down - up)
            dx = (luma[y, right] - luma[y, left]) / (right - left)
            turn = np.degrees(np.arctan2(dy, dx)) % 180
            cells[4 * y // height, 4 * x // width, int(turn // 22.5) % 8] += np.hypot(dy, dx)
    return cells.ravel() / np.linalg.norm(cells)


def test_histograms_equal_a_loop():
    images = random_images((2, 16, 20, 3), seed=3)
    found = pixels.pixels_and_gradients(images)[:, 768:]
    assert found.shape == (2, 128)
    np.testing.assert_allclose(found, [loop_histograms(image) for image in images], atol=2e-5)


def test_edges_fall_into_their_orientation_and_flat_images_are_zero():
    images = np.zeros((2, 32, 32, 3), np.uint8)
    images[0, :, 16:] = 200  # a vertical edge: the gradient points along x, orientation 0
    found = pixels.pixels_and_gradients(images)[:, 768:].reshape(2, 4, 4, 8)
    assert found[0, :, 1:3, 0].min() == pytest.approx(1 / np.sqrt(8))
    assert np.count_nonzero(found[0]) == 8
    assert np.count_nonzero(found[1]) == 0


def test_tiles_do_not_change_the_result(monkeypatch):
    images = random_images((5, 16, 16, 3))
    baselines = (pixels.raw_pixels, pixels.pixels_and_gradients)
    whole = [baseline(images) for baseline in baselines]
    monkeypatch.setattr(pixels, "_BLOCK", 2)
    for baseline, wanted in zip(baselines, whole, strict=True):
        np.testing.assert_allclose(baseline(images), wanted, rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match=r"want uint8 \[n, h, w, 3\], got float32 \(1, 8, 8, 3\)"):
        pixels.raw_pixels(np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(ValueError, match=r"4 x 4 pixels or more, got 3 x 8"):
        pixels.pixels_and_gradients(np.zeros((1, 3, 8, 3), np.uint8))

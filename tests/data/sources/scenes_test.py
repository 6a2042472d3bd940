from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources import scenes
from tvdim_jax.data.sources.phrases import object_name
from tvdim_jax.data.sources.scenes import SIZES, Scenes


@pytest.mark.parametrize("size", SIZES)
def test_images(size):
    image = Scenes(10, 0, size).read_image(3)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert image.std() > 20


def test_grey_is_the_luma():
    source = Scenes(10, 0, 32)
    luma = source.read_image(3) @ [0.299, 0.587, 0.114]
    assert np.abs(source.read_grey(3)[..., 0] / 257 - luma).max() <= 1
    assert source.read_grey(3).dtype == np.uint16
    assert source.study_id(3) == 3


def test_rows_depend_on_seed_and_number_only():
    first, longer, other = Scenes(50, 1, 32), Scenes(10**9, 1, 32), Scenes(50, 2, 32)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(longer.read_image, reversed(range(50))))[::-1]
    for row in range(50):
        assert np.array_equal(first.read_image(row), images[row])
        assert first.captions(row) == longer.captions(row)
        assert not np.array_equal(first.read_image(row), other.read_image(row))
    assert len({image.tobytes() for image in images}) == 50
    assert longer.read_image(10**9 - 1).size


def test_known_scene():
    source = Scenes(10, 0, 32)
    assert source.captions(0)[0] == (
        "a medium checked yellow cross to the left of a small speckled purple triangle"
    )
    assert source.example_id(0) == "scenes/0/0"


def test_the_same_scene_at_any_size():
    small, large = Scenes(20, 0, 32), Scenes(20, 0, 128)
    for row in range(20):
        assert small.captions(row) == large.captions(row)
        reduced = large.read_image(row).reshape(32, 4, 32, 4, 3).mean((1, 3))
        assert np.abs(small.read_image(row) - reduced).mean() < 6
        for (name, box), (other, wide) in zip(small.boxes(row), large.boxes(row), strict=True):
            assert name == other
            assert np.abs(np.array(box) - np.array(wide) / 4).max() <= 1.5


def test_one_label_of_eight_about_as_often():
    source = Scenes(2000, 0, 32)
    labels = [source.labels(row) for row in range(2000)]
    assert {len(names) for names in labels} == {1}
    counts = Counter(names[0] for names in labels)
    assert len(counts) == 8
    assert min(counts.values()) > 180
    assert max(counts.values()) < 320
    assert source.ambiguous(0) == []


def test_boxes_hold_the_named_objects_and_the_main_one_is_the_largest():
    source = Scenes(1000, 0, 128)
    for row in range(1000):
        things = source._things(row)
        boxes = source.boxes(row)
        captions = source.captions(row)
        assert len(boxes) == 2
        assert len(things) in (2, 3)
        assert len(set(captions)) == len(captions) == 5
        for (name, (x0, y0, x1, y1)), thing in zip(boxes, things, strict=False):
            assert name in captions[0]
            assert 0 <= x0 < x1 <= 128
            assert 0 <= y0 < y1 <= 128
            assert x0 <= thing.x * 128 <= x1 or thing.shape == "crescent"
            assert x1 - x0 <= 2 * thing.radius * 128 + 1
        assert len({object_name(thing) for thing in things}) == len(things)
        assert captions[0].index(boxes[0][0]) < captions[0].index(boxes[1][0])
        assert things[0].radius > max(thing.radius for thing in things[1:])
        for first, second in ((a, b) for a in things for b in things if a is not b):
            distance = np.hypot(first.x - second.x, first.y - second.y)
            assert distance > first.radius + second.radius


def test_pixels_do_not_tell_the_class():
    source = Scenes(1500, 0, 32)
    images = np.stack([source.read_image(row) for row in range(1500)]) / 255
    labels = np.array([source.labels(row)[0] for row in range(1500)])
    pixels = images.reshape(1500, 8, 4, 8, 4, 3).mean((2, 4)).reshape(1500, -1)
    colours = np.concatenate([images.mean((1, 2)), images.std((1, 2))], -1)
    for features in (pixels, colours):
        probe = RidgeClassifier(10.0).fit(features[:1000], labels[:1000])
        assert probe.score(features[1000:], labels[1000:]) < 0.25


def test_digest_tells_sources_apart():
    digests = {
        Scenes(*arguments).digest()
        for arguments in ((10, 0, 32), (11, 0, 32), (10, 1, 32), (10, 0, 64))
    }
    assert len(digests) == 4
    assert Scenes(10, 0, 32).digest() in digests


def test_the_class_can_be_the_shape(monkeypatch):
    monkeypatch.setattr(scenes, "LABEL", "shape")
    assert Scenes(10, 0, 32).labels(0) == ["cross"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 32), "got num_examples=0, seed=0, wanted at least 1 and 0"),
        ((1, -1, 32), "seed=-1"),
        ((1, 0, 48), r"got image_size=48, wanted one of \(32, 64, 128\)"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(DataError, match=message):
        Scenes(*arguments)


@pytest.mark.parametrize("row", [-1, 5])
def test_rows_end(row):
    with pytest.raises(IndexError, match="wanted 0 to 4"):
        Scenes(5, 0, 32).read_image(row)

import numpy as np
import pytest

from tvdim_jax.evals.pointing import centre_hits, chance_hits, pointing_hits, region_centres

# A 4 x 4 map of 32 pixels: centres at 4, 12, 20 and 28.
TOP_LEFT, MIDDLE, RIGHT_EDGE = (0, 0, 8, 8), (10, 14, 22, 30), (24, 4, 32, 5)


def map_with(*best):
    scores = np.full((4, 4), -3.0)
    for row, column in best:
        scores[row, column] = 2.5
    return scores


@pytest.mark.parametrize(
    ("best", "box", "wanted"),
    [
        ([(0, 0)], TOP_LEFT, 1),
        ([(0, 1)], TOP_LEFT, 0),
        ([(2, 1)], MIDDLE, 1),  # row 2 is y = 20, column 1 is x = 12
        ([(1, 2)], MIDDLE, 0),  # the same, transposed
        ([(0, 3)], RIGHT_EDGE, 1),  # y = 4 is the first pixel of the box
        ([(0, 3)], (24, 0, 32, 4), 0),  # and behind the end of this one
        ([(0, 0), (3, 3)], TOP_LEFT, 0.5),  # of two best regions one hits
        ([(i, j) for i in range(4) for j in range(4)], MIDDLE, 4 / 16),
    ],
)
def test_by_hand(best, box, wanted):
    assert pointing_hits(map_with(*best)[None], np.array([box]), 32).tolist() == [wanted]


def test_maps_and_boxes_go_in_pairs():
    maps = np.stack([map_with((0, 0)), map_with((0, 0)), map_with((3, 3))])
    boxes = np.array([TOP_LEFT, MIDDLE, (26, 26, 31, 31)])
    assert pointing_hits(maps, boxes, 32).tolist() == [1, 0, 1]


def test_centres_of_regions_that_tile_and_of_squares_that_overlap():
    assert region_centres(4, 32).tolist() == [4, 12, 20, 28]
    # Seven squares of 8 pixels, one every 4: [0, 8) to [24, 32).
    assert region_centres(7, 32, 8).tolist() == [4, 8, 12, 16, 20, 24, 28]
    corner = np.zeros((1, 7, 7))
    corner[0, 0, 6] = 1
    assert pointing_hits(corner, np.array([(27, 3, 29, 5)]), 32, 8).tolist() == [1]
    assert pointing_hits(corner, np.array([(29, 0, 31, 4)]), 32, 8).tolist() == [0]
    assert pointing_hits(corner, np.array([(29, 0, 31, 4)]), 32).tolist() == [1]  # 29.7, 2.3


def test_the_baselines():
    boxes = np.array([TOP_LEFT, MIDDLE, (16, 16, 17, 17), (0, 0, 16, 32)])
    assert chance_hits(boxes, 32).tolist() == [64 / 1024, 192 / 1024, 1 / 1024, 0.5]
    assert centre_hits(boxes, 32).tolist() == [0, 1, 1, 0]


def test_random_maps_hit_as_often_as_chance_says():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 24, (4000, 2))
    boxes = np.concatenate([first, first + 8], axis=1)
    hits = pointing_hits(rng.random((4000, 16, 16)), boxes, 32)
    assert hits.mean() == pytest.approx(chance_hits(boxes, 32).mean(), abs=0.012)


@pytest.mark.parametrize(
    ("scores", "boxes", "message"),
    [
        (np.zeros((1, 4, 5)), [TOP_LEFT], r"got scores \(1, 4, 5\).*wanted \[n, h, h\]"),
        (np.zeros((2, 4, 4)), [TOP_LEFT], r"and boxes \(1, 4\), wanted .* one map for each"),
        (np.full((1, 4, 4), np.nan), [TOP_LEFT], "got 16 scores that are NaN"),
        (np.zeros((1, 4, 4)), [(5, 5, 5, 9)], "x0 < x1 and y0 < y1; leave objects"),
        (np.zeros((1, 4, 4)), TOP_LEFT, r"boxes: got shape \(4,\), wanted \[n, 4\]"),
    ],
)
def test_errors(scores, boxes, message):
    with pytest.raises(ValueError, match=message):
        pointing_hits(scores, np.array(boxes), 32)

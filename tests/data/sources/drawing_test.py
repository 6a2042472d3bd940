import numpy as np
import pytest

from tvdim_jax.data.sources import drawing
from tvdim_jax.data.sources.drawing import SHAPE_NAMES, TEXTURE_NAMES, Thing

BLACK, WHITE = (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)


def thing(shape="circle", texture="plain", *, angle=0.0, x=0.5, y=0.5) -> Thing:
    return Thing(shape, texture, "white", "large", x, y, 0.4, angle, 0.25, (WHITE, BLACK))


def painted(size: int, one: Thing, ground: float = 0.0) -> np.ndarray:
    canvas = np.full((size, size, 3), ground, np.float32)
    drawing.paint(canvas, one)
    return canvas


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ("circle", np.pi * 0.92**2),
        ("square", 1.44**2),
        ("diamond", 2.0),
        ("cross", 4 * 0.6 * 0.6 + 0.6**2),
        ("bar", 1.84 * 0.76),
        ("triangle", 0.5 * 1.5 * 1.5 * 2 / 3**0.5),
    ],
)
@pytest.mark.parametrize("angle", [0.0, 0.2])
def test_areas_of_shapes(shape, area, angle):
    covered = painted(256, thing(shape, angle=angle))[..., 0].mean() / 255
    assert covered == pytest.approx(area * 0.4**2, rel=0.03)


@pytest.mark.parametrize("shape", SHAPE_NAMES)
def test_shapes_stay_in_their_circle_and_box(shape):
    one = thing(shape, angle=0.2, x=0.45, y=0.52)
    inside = painted(128, one)[..., 0] > 127.5
    rows, columns = np.nonzero(inside)
    place = (columns + 0.5) / 128 - 0.45, (rows + 0.5) / 128 - 0.52
    assert np.hypot(*place).max() < 0.4 + 1 / 128
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.subtract(drawing.box(128, one), box)).max() <= 1
    assert box[2] - box[0] > 0.4 * 128


@pytest.mark.parametrize("texture", TEXTURE_NAMES)
def test_textures_use_both_inks(texture):
    inner = painted(128, thing("square", texture), ground=100.0)[40:88, 40:88, 0]
    share = (inner > 127.5).mean()
    assert share == 1 if texture == "plain" else 0.2 < share < 0.8


def test_stripes_run_as_their_names_say():
    def changes(texture: str) -> tuple[float, float]:
        inner = painted(128, thing("square", texture))[40:88, 40:88, 0]
        return np.abs(np.diff(inner, axis=0)).mean(), np.abs(np.diff(inner, axis=1)).mean()

    down, across = changes("horizontal")
    assert down > 20 * (across + 0.1)
    down, across = changes("vertical")
    assert across > 20 * (down + 0.1)
    down, across = changes("diagonal")
    assert down == pytest.approx(across, rel=0.2)


def test_the_same_object_at_any_size():
    small = painted(32, thing("star", "checked", angle=0.1))
    large = painted(128, thing("star", "checked", angle=0.1))
    reduced = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(small - reduced).mean() < 6


def test_objects_may_lie_across_the_border():
    assert painted(32, thing(x=0.0, y=1.0))[28:, :4].mean() > 200


def test_background_is_the_same_at_any_size():
    grounds = [drawing.background(np.random.default_rng(3), size) for size in (32, 64, 128)]
    for ground in grounds:
        assert ground.dtype == np.float32
        assert ground.min() >= 0
        assert ground.max() <= 255
        factor = len(ground) // 32
        assert np.array_equal(ground[::factor, ::factor], grounds[0])
    assert not np.array_equal(drawing.background(np.random.default_rng(4), 32), grounds[0])

import numpy as np
import pytest

from tvdim_jax.data.sources.drawing import COLOURS, SHAPE_NAMES, TEXTURE_NAMES, Thing
from tvdim_jax.data.sources.phrases import caption_texts, object_name


def thing(x=0.5, y=0.5, *, shape="circle", texture="dotted", colour="red", size="large") -> Thing:
    inks = (COLOURS[colour], (0.0, 0.0, 0.0))
    return Thing(shape, texture, colour, size, x, y, 0.3, 0.0, 0.0, inks)


@pytest.mark.parametrize(
    ("x", "y", "relation"),
    [
        (0.2, 0.5, "to the left of"),
        (0.9, 0.6, "to the right of"),
        (0.5, 0.1, "above"),
        (0.4, 0.9, "below"),
    ],
)
def test_the_first_caption_says_where_the_main_object_is(x, y, relation):
    other = thing(shape="bar", texture="plain", colour="blue", size="small")
    captions = caption_texts(thing(x, y), other, [0.0] * 24)
    assert captions[0] == f"a large dotted red circle {relation} a small plain blue bar"
    assert captions[2] == "a large red circle with dots"


def test_names_of_different_objects_differ():
    names = {
        object_name(thing(shape=shape, texture=texture, colour=colour))
        for shape in SHAPE_NAMES
        for texture in TEXTURE_NAMES
        for colour in COLOURS
    }
    assert len(names) == len(SHAPE_NAMES) * len(TEXTURE_NAMES) * len(COLOURS)


def test_every_draw_is_usable_and_changes_the_wording():
    draws = np.random.default_rng(0).random((200, 24))
    sets = [caption_texts(thing(), thing(x=0.9, size="small"), row.tolist()) for row in draws]
    highest = caption_texts(thing(), thing(size="small"), [1 - 2**-53] * 24)
    for captions in [*sets, highest]:
        assert len(set(captions)) == 5
    assert [len({captions[k] for captions in sets}) > 3 for k in range(5)] == [False] + [True] * 4

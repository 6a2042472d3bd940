"""Captions of scenes: differently phrased sentences about the main object and a second one."""

from collections.abc import Sequence

from tvdim_jax.data.sources.drawing import Thing

# Each word with its synonyms, the word of the first caption first.
_SIZE_WORDS = {
    "large": ("large", "big", "huge"),
    "medium": ("medium", "mid-sized", "medium-sized"),
    "small": ("small", "little", "tiny"),
}
_SHAPE_WORDS = {
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "diamond": ("diamond", "rhombus"),
    "triangle": ("triangle", "wedge"),
    "cross": ("cross", "plus sign"),
    "star": ("star", "starlet"),
    "crescent": ("crescent", "moon"),
    "bar": ("bar", "strip"),
}
_TEXTURE_ADJECTIVES = {
    "plain": ("plain", "solid", "uniform"),
    "horizontal": ("horizontally striped", "horizontally banded", "sideways striped"),
    "vertical": ("vertically striped", "vertically banded", "upright striped"),
    "diagonal": ("diagonally striped", "diagonally banded", "slanted striped"),
    "checked": ("checked", "chequered", "checkerboard"),
    "dotted": ("dotted", "spotted", "polka-dot"),
    "ringed": ("ringed", "target-like", "concentric"),
    "speckled": ("speckled", "mottled", "grainy"),
}
_TEXTURE_NOUNS = {
    "plain": ("no pattern", "a plain surface"),
    "horizontal": ("horizontal stripes", "horizontal bands"),
    "vertical": ("vertical stripes", "vertical bands"),
    "diagonal": ("diagonal stripes", "slanted bands"),
    "checked": ("a checked pattern", "a checkerboard pattern"),
    "dotted": ("dots", "a polka-dot pattern"),
    "ringed": ("rings", "concentric rings"),
    "speckled": ("speckles", "a grainy pattern"),
}
_RELATIONS = {
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
_OPENINGS = ("there is", "we see", "the picture shows")
_LINKS = ("next to", "together with", "and")


def object_name(thing: Thing) -> str:
    """Name of an object, as the first caption has it: "dotted blue square"."""
    adjective, noun = _TEXTURE_ADJECTIVES[thing.texture][0], _SHAPE_WORDS[thing.shape][0]
    return f"{adjective} {thing.colour} {noun}"


def caption_texts(main: Thing, other: Thing, draws: Sequence[float]) -> list[str]:
    """Five captions of one scene; every one names the main object first.

    Args:
      main: the main object.
      other: the second object; captions 1, 2 and 4 speak of it.
      draws: at least 19 uniform numbers in [0, 1), which choose the synonyms.

    Returns:
      Five sentences; the first holds `object_name` of both objects as it is.
    """
    take = iter(draws)

    def one_of(words: Sequence[str]) -> str:
        return words[int(next(take) * len(words))]

    def short(thing: Thing) -> str:
        return (
            f"{one_of(_SIZE_WORDS[thing.size])} {thing.colour} {one_of(_SHAPE_WORDS[thing.shape])}"
        )

    def full(thing: Thing) -> str:
        size, adjective = (
            one_of(_SIZE_WORDS[thing.size]),
            one_of(_TEXTURE_ADJECTIVES[thing.texture]),
        )
        return f"{size} {adjective} {thing.colour} {one_of(_SHAPE_WORDS[thing.shape])}"

    relation = _RELATIONS[_side(main, other)]
    pattern = _TEXTURE_NOUNS[main.texture]
    return [
        f"a {main.size} {object_name(main)} {relation[0]} a {other.size} {object_name(other)}",
        f"{one_of(_OPENINGS)} a {full(main)} {one_of(relation)} a {short(other)}",
        f"a {short(main)} with {one_of(pattern)}",
        f"{full(main)} {one_of(_LINKS)} a {full(other)}",
        f"the {one_of(_SHAPE_WORDS[main.shape])} has {one_of(pattern)} and is {main.colour}",
    ]


def _side(main: Thing, other: Thing) -> str:
    """Where the main object lies as seen from the other one."""
    right, down = main.x - other.x, main.y - other.y
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "below" if down > 0 else "above"

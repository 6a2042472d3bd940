import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from tvdim_jax.models.variants import (
    IMAGE_VARIANTS,
    TEXT_VARIANTS,
    make_image_encoder,
    make_text_encoder,
)

# Counted in the release: (pixels, trunk, heads). Those in millions are known to 5,000.
PUBLISHED = {
    "amdim_cifar_small": (32, 27_760_128, 4_200_448),
    "amdim_cifar_large": (32, 111_029_248, 16_789_504),
    "amdim_cifar_bolts": (32, 153_816_320, 9_838_080),
    "amdim_stl10": (64, 193_913_088, 14_164_992),
    "amdim_imagenet_test": (128, 72_445_568, 6_297_600),
    "amdim_imagenet_small": (128, 194_254_272, 14_164_992),
    "amdim_imagenet_medium": (128, 400_907_520, 25_178_112),
    "amdim_imagenet_large": (128, 626_410_560, 39_336_960),
    "amdim_cpu_small": (32, 793_728, 99_072),
    "amdim_cpu_medium": (32, 3_172_608, 394_752),
}
DEFAULT_MILLIONS = {32: (15.83, 4.20), 64: (51.45, 6.30), 128: (51.61, 6.30)}


def table_rows(prefix):
    lines = (
        (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0].startswith(prefix)]


IMAGE_ROWS = table_rows("amdim_")
TEXT_ROWS = table_rows("text_")


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def count_image(name, image_size):
    encoder = make_image_encoder(name, image_size=image_size)
    images = jnp.zeros((1, image_size, image_size, 3))
    params = jax.eval_shape(lambda key: encoder.init(key, images, train=False), jax.random.key(0))[
        "params"
    ]
    heads = sum(count(tree) for name, tree in params.items() if name.startswith("head_"))
    return count(params) - heads, heads


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_have_the_parameters_of_the_release(name):
    image_size, *wanted = PUBLISHED[name]
    assert count_image(name, image_size) == tuple(wanted)


@pytest.mark.parametrize("image_size", [32, 64, 128])
def test_default_size_has_the_parameters_of_the_release(image_size):
    millions = tuple(round(n / 1e6, 2) for n in count_image("amdim_default", image_size))
    assert millions == DEFAULT_MILLIONS[image_size]


def test_every_variant_has_a_row_and_every_row_a_variant():
    assert {row[0] for row in IMAGE_ROWS} == set(IMAGE_VARIANTS)
    assert {row[0] for row in TEXT_ROWS} == set(TEXT_VARIANTS)


@pytest.mark.parametrize("row", IMAGE_ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_image_row(row):
    name, *numbers = row[:8]
    image_size, ndf, rkhs, depth, *counts = (int(n.replace(",", "")) for n in numbers)
    assert IMAGE_VARIANTS[name] == {"ndf": ndf, "rkhs": rkhs, "depth": depth}
    trunk, heads = count_image(name, image_size)
    assert counts == [trunk, heads, trunk + heads]


@pytest.mark.parametrize("row", TEXT_ROWS, ids=lambda row: row[0])
def test_text_row(row):
    width, depth, num_heads, wanted = (int(n.replace(",", "")) for n in row[1:5])
    assert TEXT_VARIANTS[row[0]] == {"width": width, "depth": depth, "num_heads": num_heads}
    encoder = make_text_encoder(row[0], vocab_size=50, max_length=32)
    ids = jnp.zeros((1, 32), jnp.int32)
    params = jax.eval_shape(
        lambda key: encoder.init(key, ids, ids > 0, train=False), jax.random.key(0)
    )["params"]
    assert count(params) - count(params["tokens"]) == wanted
    assert count(params["tokens"]) == 50 * width


def test_tiny_twins_run_at_every_image_size():
    for image_size in {int(row[1]) for row in IMAGE_ROWS}:
        assert ["amdim_tiny", str(image_size)] in [row[:2] for row in IMAGE_ROWS]


def test_settings_reach_the_encoders():
    image = make_image_encoder("amdim_tiny", image_size=64, dtype=jnp.bfloat16)
    assert (image.image_size, image.dtype) == (64, jnp.bfloat16)
    text = make_text_encoder(
        "text_tiny", vocab_size=7, max_length=9, dropout=0.5, dtype=jnp.bfloat16
    )
    assert (text.vocab_size, text.max_length, text.dropout) == (7, 9, 0.5)
    assert text.dtype == jnp.bfloat16


def test_unknown_names_get_the_nearest_one():
    with pytest.raises(ValueError, match=re.escape("did you mean 'amdim_tiny'?")):
        make_image_encoder("amdim_tny", image_size=32)
    with pytest.raises(ValueError, match="unknown text encoder 'bert'; wanted one of text_tiny,"):
        make_text_encoder("bert", vocab_size=7)

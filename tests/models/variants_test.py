import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tvdim_jax.models.image import AMDIMEncoder
from tvdim_jax.models.text.answer_decoder import AnswerDecoder
from tvdim_jax.models.text.bert import BertEncoder, BertFusion
from tvdim_jax.models.text.pair_fusion import PairFusion
from tvdim_jax.models.text.transformer import TextTransformer
from tvdim_jax.models.variants import (
    DECODER_VARIANTS,
    FUSION_VARIANTS,
    IMAGE_VARIANTS,
    PAIR_FUSION_VARIANTS,
    TEXT_VARIANTS,
    make_answer_decoder,
    make_fusion_encoder,
    make_image_encoder,
    make_pair_fusion,
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
# Without classifiers, (pixels, parameters): the LMI release; torchvision 0.28 (25,557,032 with its
# 1000 classes); timm 1.0 (deit_small_patch16_224, deit_base_patch16_224 also at img_size=256);
# open_clip 3.3 (visual towers of ViT-B-32-quickgelu and ViT-B-16-quickgelu).
PUBLISHED_TRUNKS = [
    ("resnet256_6_2_1", 256, 1_945_033 - 769),
    ("resnet50", 224, 25_557_032 - 2_049_000),
    ("vit_s16", 224, 21_665_664),
    ("vit_b16", 224, 85_798_656),
    ("vit_b16", 256, 85_844_736),
    ("clip_vit_b32", 224, 87_849_216),
    ("clip_vit_b16", 224, 86_192_640),
    ("clip_vit_b16_unprojected", 224, 86_192_640 - 512 * 768),
]
DEFAULT_MILLIONS = {32: (15.83, 4.20), 64: (51.45, 6.30), 128: (51.61, 6.30)}


def table_rows(prefix):
    lines = (
        (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0].startswith(prefix)]


AMDIM_ROWS = table_rows("amdim_")
TRUNK_ROWS = [row for prefix in ("resnet", "vit_", "clip_") for row in table_rows(prefix)]
TWINS = {"resnet256_tiny": 64, "resnet50_tiny": 32, "vit_tiny": 32, "clip_vit_tiny": 32}
TEXT_ROWS = table_rows("text_")
BERT_ROWS = table_rows("bert_")
FUSION_ROWS = table_rows("fusion_")
DECODER_ROWS, PAIR_FUSION_ROWS = table_rows("decoder_"), table_rows("pair_fusion_")


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def trace_image(name, image_size):
    """The encoder, and the shapes of its features and parameters."""
    encoder = make_image_encoder(name, image_size=image_size)
    images = jnp.zeros((1, image_size, image_size, encoder.num_channels))
    features, variables = jax.eval_shape(
        lambda key: encoder.init_with_output(key, images, train=False), jax.random.key(0)
    )
    return encoder, features, variables["params"]


def count_image(name, image_size):
    _, _, params = trace_image(name, image_size)
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
    assert {row[0] for row in [*AMDIM_ROWS, *TRUNK_ROWS]} == set(IMAGE_VARIANTS)
    assert {row[0] for row in TEXT_ROWS + BERT_ROWS} == set(TEXT_VARIANTS)
    assert {row[0] for row in FUSION_ROWS} == set(FUSION_VARIANTS)
    assert {row[0] for row in DECODER_ROWS} == set(DECODER_VARIANTS)
    assert {row[0] for row in PAIR_FUSION_ROWS} == set(PAIR_FUSION_VARIANTS)


@pytest.mark.parametrize(("name", "image_size", "wanted"), PUBLISHED_TRUNKS)
def test_published_nets_have_their_parameters(name, image_size, wanted):
    assert count(trace_image(name, image_size)[2]) == wanted


@pytest.mark.parametrize("row", AMDIM_ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_amdim_row(row):
    name, *numbers = row[:8]
    image_size, ndf, rkhs, depth, *counts = (int(n.replace(",", "")) for n in numbers)
    assert IMAGE_VARIANTS[name] == (AMDIMEncoder, {"ndf": ndf, "rkhs": rkhs, "depth": depth})
    trunk, heads = count_image(name, image_size)
    assert counts == [trunk, heads, trunk + heads]


@pytest.mark.parametrize("row", TRUNK_ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_trunk_row(row):
    name, image_size, *numbers = row[:5]
    channels, width, wanted = (int(n.replace(",", "")) for n in numbers)
    encoder, features, params = trace_image(name, int(image_size))
    assert (encoder.num_channels, encoder.num_features) == (channels, width)
    assert features.global_features.shape == (1, width)
    assert count(params) == wanted
    maps = {tuple(int(n) for n in text.split("x")) for text in row[5].split(", ")}
    assert {leaf.shape[1:] for leaf in features.local_features.values()} == maps
    assert {height for height, _, _ in maps} == set(features.local_features)


@pytest.mark.parametrize("row", TEXT_ROWS, ids=lambda row: row[0])
def test_text_row(row):
    width, depth, num_heads, wanted = (int(n.replace(",", "")) for n in row[1:5])
    sizes = {"width": width, "depth": depth, "num_heads": num_heads}
    assert TEXT_VARIANTS[row[0]] == (TextTransformer, sizes)
    features, params = trace_text(row[0], vocab_size=50, max_length=32)
    assert features.global_features.shape == (1, width)
    assert count(params) - count(params["tokens"]) == wanted
    assert count(params["tokens"]) == 50 * width


def trace_text(name, **sizes):
    """The shapes of the encoder's features and parameters."""
    encoder = make_text_encoder(name, **sizes)
    ids = jnp.zeros((1, 2), jnp.int32)
    features, variables = jax.eval_shape(
        lambda key: encoder.init_with_output(key, ids, ids > 0, train=False), jax.random.key(0)
    )
    assert features.global_features.shape == (1, encoder.num_features)
    return features, variables["params"]


@pytest.mark.parametrize("row", BERT_ROWS, ids=lambda row: row[0])
def test_bert_row(row):
    numbers = [int(n.replace(",", "")) for n in row[1:7]]
    sizes = dict(zip(["width", "depth", "num_heads", "mlp_width"], numbers, strict=False))
    assert TEXT_VARIANTS[row[0]] == (BertEncoder, {**sizes, "pooler": row[7] == "yes"})
    features, params = trace_text(row[0], vocab_size=numbers[4], max_length=numbers[5])
    assert features.local_features["tokens"].shape == (1, 2, numbers[0])
    assert ("pooler" in params) == (row[7] == "yes")
    assert count(params) == int(row[8].replace(",", ""))


@pytest.mark.parametrize("row", FUSION_ROWS, ids=lambda row: row[0])
def test_fusion_row(row):
    width, depth, num_heads, mlp_width, wanted = (int(n.replace(",", "")) for n in row[1:6])
    encoder = make_fusion_encoder(row[0], dtype=jnp.bfloat16)
    sizes = {"depth": depth, "num_heads": num_heads, "mlp_width": mlp_width}
    assert encoder == BertFusion(**sizes, dropout=0.1, dtype=jnp.bfloat16)
    tokens, valid = jnp.zeros((1, 2, width)), jnp.ones((1, 2), bool)
    variables = jax.eval_shape(
        lambda key: encoder.init(key, tokens, valid, tokens, valid, train=False), jax.random.key(0)
    )
    assert count(variables) == wanted


@pytest.mark.parametrize("row", DECODER_ROWS, ids=lambda row: row[0])
def test_decoder_row(row):
    numbers = [int(n.replace(",", "")) for n in row[1:8]]
    sizes = dict(zip(["width", "depth", "num_heads", "mlp_width"], numbers, strict=False))
    vocab_size, max_length, wanted = numbers[4:]
    decoder = make_answer_decoder(row[0], vocab_size=vocab_size, max_length=max_length)
    assert decoder == AnswerDecoder(vocab_size, max_length=max_length, dropout=0.1, **sizes)
    ids, tokens = jnp.zeros((1, 2), jnp.int32), jnp.zeros((1, 2, numbers[0]))
    variables = jax.eval_shape(
        lambda key: decoder.init(key, ids, ids > 0, tokens, ids > 0, train=False), jax.random.key(0)
    )
    assert count(variables) == wanted


@pytest.mark.parametrize("row", PAIR_FUSION_ROWS, ids=lambda row: row[0])
def test_pair_fusion_row(row):
    width, depth, num_heads, mlp_width, wanted = (int(n.replace(",", "")) for n in row[1:6])
    fusion = make_pair_fusion(row[0], dtype=jnp.bfloat16)
    sizes = {"depth": depth, "num_heads": num_heads, "mlp_width": mlp_width}
    assert fusion == PairFusion(**sizes, dropout=0.1, dtype=jnp.bfloat16)
    tokens, valid = jnp.zeros((1, 2, width)), jnp.ones((1, 2), bool)
    images, image_valid = jnp.stack([tokens] * 2, 1), jnp.ones((1, 2, 2), bool)
    variables = jax.eval_shape(
        lambda key: fusion.init(key, tokens, valid, images, image_valid, train=False),
        jax.random.key(0),
    )
    assert count(variables) == wanted


def test_bert_base_has_the_published_parameters():
    assert count(trace_text("bert_base", vocab_size=30_522, max_length=512)[1]) == 109_482_240


def test_tiny_twins_run_at_every_image_size():
    for image_size in {int(row[1]) for row in AMDIM_ROWS}:
        assert ["amdim_tiny", str(image_size)] in [row[:2] for row in AMDIM_ROWS]


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_tiny_twins_learn_in_one_step(name):
    encoder = make_image_encoder(name, image_size=TWINS[name])
    shape = (4, encoder.image_size, encoder.image_size, encoder.num_channels)
    rng = np.random.default_rng(0)
    images = rng.uniform(size=shape).astype(np.float32)
    like = jax.eval_shape(lambda key: encoder.init(key, images, train=False), jax.random.key(0))
    variables = jax.tree.map(lambda leaf: rng.normal(0.5, 0.1, leaf.shape).astype(np.float32), like)

    @jax.jit
    def loss_and_step(params):
        def loss(params):
            features, moved = encoder.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            target = jnp.linspace(-1, 1, features.global_features.size)
            target = target.reshape(features.global_features.shape)
            return jnp.square(features.global_features - target).mean(), moved

        (value, moved), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return value, jax.tree.map(lambda p, g: p - 1e-3 * g, params, grads), moved

    before, params, _ = loss_and_step(variables["params"])
    after, params, moved = loss_and_step(params)
    assert after < before
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((params, moved)))
    assert bool(moved) == name.startswith("resnet")


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
    with pytest.raises(ValueError, match=r"unknown fusion encoder 'fusion_bas'.*'fusion_base'"):
        make_fusion_encoder("fusion_bas")

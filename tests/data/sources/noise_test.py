import numpy as np
import pytest

from tvdim_jax.data.errors import DataError
from tvdim_jax.data.sources import CaptionsFolder, Scenes, with_caption_noise


@pytest.mark.parametrize("rate", [0.02, 0.25, 0.5, 0.333, 1.0])
def test_the_share_is_exact_and_nobody_keeps_his_own(rate):
    source = Scenes(101, 0, 32)
    noisy = with_caption_noise(source, rate, seed=5)
    changed = np.flatnonzero(noisy.noise_index != np.arange(101))
    assert len(changed) == round(rate * 101)
    assert sorted(noisy.noise_index[changed]) == changed.tolist()
    for row in range(101):
        assert noisy.captions(row) == source.captions(int(noisy.noise_index[row]))


def test_images_labels_and_names_stay(grey_folder):
    source = CaptionsFolder(grey_folder(6))
    noisy = with_caption_noise(source, 1.0, seed=0)
    assert len(noisy) == 6
    assert noisy.name == source.name
    for row in range(6):
        assert np.array_equal(noisy.read_image(row), source.read_image(row))
        assert np.array_equal(noisy.read_grey(row), source.read_grey(row))
        assert noisy.study_id(row) == row
        assert noisy.labels(row) == source.labels(row)
        assert noisy.ambiguous(row) == source.ambiguous(row)
        assert noisy.example_id(row) == source.example_id(row)


def test_the_seed_fixes_it_and_the_digest_shows_it():
    source = Scenes(100, 0, 32)
    first, same, other, more = (
        with_caption_noise(source, rate, seed)
        for rate, seed in ((0.5, 1), (0.5, 1), (0.5, 2), (0.6, 1))
    )
    assert np.array_equal(first.noise_index, same.noise_index)
    assert not np.array_equal(first.noise_index, other.noise_index)
    assert first.digest() == same.digest()
    assert len({s.digest() for s in (source, first, other, more)}) == 4


def test_no_noise_is_the_source_itself():
    source = Scenes(10, 0, 32)
    assert with_caption_noise(source, 0.0, seed=0) is source


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_rates_out_of_range(rate):
    with pytest.raises(DataError, match="wanted 0 to 1"):
        with_caption_noise(Scenes(10, 0, 32), rate, seed=0)


def test_one_row_has_nobody_to_swap_with():
    with pytest.raises(DataError, match=r"got rate 0\.1 of 10 rows, which is one row"):
        with_caption_noise(Scenes(10, 0, 32), 0.1, seed=0)

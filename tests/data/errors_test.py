import pytest

from tvdim_jax.data.errors import REASONS, BadDataError, BadExample, DataError


def test_a_bad_example_carries_a_known_reason():
    assert BadExample("empty file").reason == "empty file"
    assert str(BadExample("empty file")) == "empty file"
    assert len(set(REASONS)) == len(REASONS)


def test_free_text_is_no_reason():
    with pytest.raises(ValueError, match="got reason 'odd', wanted one of"):
        BadExample("odd")


def test_bad_examples_are_not_data_errors():
    assert issubclass(DataError, ValueError)
    assert not issubclass(BadExample, ValueError)
    assert not issubclass(BadDataError, ValueError)

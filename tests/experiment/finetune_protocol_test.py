import pytest

from tvdim_jax.experiment.classifier import split_frozen
from tvdim_jax.experiment.finetune_protocol import FineTuning, check_options, lmi_protocol


def test_the_protocol_of_the_lmi_authors():
    frozen, tuned = lmi_protocol(7066, frozen=True), lmi_protocol(7066, frozen=False)
    assert (frozen.num_steps, frozen.batch_size) == (300 * 111, 64)
    assert (frozen.learning_rate, frozen.schedule, frozen.warmup_steps) == (5e-4, "constant", 0)
    assert (frozen.weight_decay, frozen.layer_decay, frozen.batch_statistics) == (0, 1, True)
    assert tuned == frozen._replace(frozen=())
    parts = [f"stage_{stage}_block_{block}" for stage in range(1, 7) for block in (1, 2)]
    _, trained = split_frozen(dict.fromkeys(["stem", *parts]), frozen.frozen)
    assert set(trained) == {"stage_6_block_1", "stage_6_block_2"}


@pytest.mark.parametrize(
    "options", [FineTuning(0), FineTuning(5, warmup_steps=5), FineTuning(5, batch_size=0)]
)
def test_numbers_that_do_not_add_up(options):
    with pytest.raises(ValueError, match="wanted at least 1 update more than the warm-up has"):
        check_options(options)

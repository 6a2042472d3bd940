"""Each warning after its rows in a row, once, and none for losses that move."""

from tvdim_jax.train.alarms import NUM_ROWS, Alarms


def said(shares):
    """(number of the row, warning) of a run with these values of loss over log N."""
    alarms = Alarms()
    rows = [{} if share is None else {"train/loss_over_log_n": share} for share in shares]
    return [(n, text) for n, row in enumerate(rows, 1) for text in alarms.warnings(row)]


def test_a_loss_that_stays_at_chance():
    ((row, text),) = said([1.001, 0.985] * 40)
    assert row == NUM_ROWS == 20
    assert text.startswith("warning: the loss of images and texts has been within 2 % of log N")
    assert "`tvdim doctor --config FILE`" in text


def test_a_bound_at_its_ceiling():
    ((row, text),) = said([0.5] * 3 + [0.01] * 60)
    assert row == 23
    assert "it is saturated and cannot show more" in text
    assert "Raise train.batch_size" in text


def test_nothing_is_said_of_losses_that_move_or_lie_above_chance():
    assert said([1.15] * 60) == []  # ranking, early
    assert said(([1.0] * 19 + [0.97]) * 5) == []
    assert said([0.5] * 60) == []
    assert said([None] * 60) == []
    assert said([float("nan")] * 60) == []


def test_each_is_said_once():
    found = said([1.0] * 20 + [0.5] + [1.0] * 20 + [0.0] * 20 + [0.5] + [0.0] * 20)
    assert [row for row, _ in found] == [20, 61]

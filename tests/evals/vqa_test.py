import itertools

import numpy as np
import pytest

from tvdim_jax.evals.vqa import normalised_answer, soft_accuracy, vqa_accuracy


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (" The\tRed\nWall ", "red wall"),
        ("Two", "2"),
        ("none of ten", "0 of 10"),
        ("an apple, a pear", "apple pear"),
        ("1,000", "1000"),
        ("3.5 or 2.", "3.5 or 2"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("t-shirt", "t shirt"),
        ("t-shirt - red", "tshirt red"),  # beside a blank once, gone everywhere
        ("2:50 pm", "2:50 pm"),
        ("girl's", "girl's"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("yall'd've", "y'all'd've"),
        ("twas", "'twas"),
        ("lets", "lets"),
        ("somebody'd", "somebodyd"),
        ("yes!", "yes"),
        ("the", ""),
    ],
)
def test_normalised_answers(text, wanted):
    assert normalised_answer(text) == wanted


@pytest.mark.parametrize("num_equal", range(11))
def test_accuracy_is_the_mean_over_all_sets_of_nine(num_equal):
    answers = ["red"] * num_equal + [f"colour {k}" for k in range(10 - num_equal)]
    sets = itertools.combinations(answers, 9)
    wanted = np.mean([min(1, sum(text == "red" for text in each) / 3) for each in sets])
    assert soft_accuracy("The red", answers) == pytest.approx(wanted)
    # By hand: one of ten agrees in nine of ten sets.
    assert num_equal != 1 or wanted == pytest.approx(0.3)
    assert num_equal != 3 or wanted == pytest.approx(0.9)


def test_the_answers_of_people_lose_punctuation_alone_and_only_if_they_differ():
    assert soft_accuracy("t-shirt", ["t-shirt"] * 9 + ["blue"]) == 1
    assert soft_accuracy("t-shirt", ["t-shirt"] * 10) == 0
    assert soft_accuracy("2", ["two"] * 9 + ["2"]) == pytest.approx(0.3)
    assert soft_accuracy("red", ["Red"] * 10) == 0


def test_a_set_is_the_mean_of_its_questions():
    answers = [["yes"] * 10, ["no"] * 9 + ["yes"], ["red"] * 3]
    assert vqa_accuracy(["Yes", "yes", "red"], answers) == {
        "soft_accuracy": pytest.approx((1 + 0.3 + 2 / 3) / 3)
    }


@pytest.mark.parametrize(
    ("predictions", "answers", "message"),
    [
        ([], [], "got 0 predictions and 0 questions with answers, wanted as many, one or more"),
        (["a"], [["a"], ["b"]], "got 1 predictions and 2 questions"),
        (["a"], [[]], "got no answers to a question, wanted those of its annotators"),
    ],
)
def test_errors(predictions, answers, message):
    with pytest.raises(ValueError, match=message):
        vqa_accuracy(predictions, answers)

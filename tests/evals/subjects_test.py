import numpy as np
import pytest

from tvdim_jax.evals.subjects import check_disjoint_subjects


def test_disjoint_subjects_pass():
    check_disjoint_subjects(np.array([3, 3, 1]), np.array([2, 4, 2]))
    check_disjoint_subjects(np.array(["p1", "p3"]), np.array(["p2"]))


def test_shared_subjects_are_named():
    with pytest.raises(ValueError, match="must not share subjects: got 2 in both: 3, 7; keep all"):
        check_disjoint_subjects(np.array([7, 1, 3, 3]), np.array([3, 7, 7, 5]))
    with pytest.raises(ValueError, match="got 1 in both: p12;"):
        check_disjoint_subjects(np.array(["p12", "p1"]), np.array(["p2", "p12"]))


def test_many_shared_subjects_are_counted():
    with pytest.raises(ValueError, match=r"got 25 in both: 5, 6, .*, 13, 14 and 15 more; keep"):
        check_disjoint_subjects(np.arange(30), np.arange(5, 40))

"""Saved checkpoints that the tests of this folder restore and damage."""

import shutil
from pathlib import Path

import pytest

from tests.reference.checkpoints import STEPS, save


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder to copy, with steps 2 and 3 of three that were saved."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    save(folder, *STEPS)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))

"""What a training leaves behind: pictures at its end, the reason after a failure."""

from types import SimpleNamespace

import pytest
from rich.console import Console

from tests.reference.report_folder import Elements, write_run_folder
from tvdim_jax.experiment import run_end
from tvdim_jax.experiment.run_end import report_at_the_end, report_of_failure
from tvdim_jax.report import Section
from tvdim_jax.train.loop import NonFiniteError


@pytest.fixture
def folder(tmp_path):
    return write_run_folder(tmp_path / "run", train__num_steps=60)


def run_in(folder):
    return SimpleNamespace(config=SimpleNamespace(workdir=str(folder)))


def text_of(folder):
    return Elements((folder / "report.html").read_text(encoding="utf-8")).text


def test_the_pictures_are_made_by_what_lies_in_memory(folder, monkeypatch, capsys):
    """There is no checkpoint in the folder."""
    run, splits, asked = run_in(folder), object(), []

    def gallery_sections(*given):
        asked.append(given)
        return [Section("maps", "Maps", "of the run")]

    monkeypatch.setattr(run_end, "gallery_sections", gallery_sections)
    report_at_the_end(run, splits, Console())
    assert asked == [(run, splits)]
    assert "Maps of the run" in text_of(folder)
    assert capsys.readouterr().out.startswith(f"report in {folder / 'report.html'} (")


def test_what_keeps_a_report_from_its_run_is_told_and_loses_nothing(folder, monkeypatch, capsys):
    def fails(*given, **options):
        raise RuntimeError("no space")

    monkeypatch.setattr(run_end, "write_report", fails)
    report_at_the_end(run_in(folder), object(), Console())
    said = f"warning: no report was written: no space; try `tvdim report {folder}`\n"
    assert capsys.readouterr().out == said
    with pytest.raises(NonFiniteError), report_of_failure(folder, Console()):
        raise NonFiniteError("3 updates in a row")
    assert capsys.readouterr().out == said


def test_a_failed_run_leaves_a_page_with_its_reason(folder):
    with pytest.raises(NonFiniteError), report_of_failure(folder, Console()):
        raise NonFiniteError("3 updates in a row were not finite")
    text = text_of(folder)
    assert "unfinished: update 6 of 60" in text
    assert "the run failed: 3 updates in a row were not finite" in text
    assert f"by its newest checkpoint: tvdim report {folder}" in text
    assert "Gradient norm" in text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug")])
def test_no_page_of_what_is_no_failure_of_the_run(folder, error):
    with pytest.raises(type(error)), report_of_failure(folder, Console()):
        raise error
    assert not (folder / "report.html").exists()


def test_only_the_first_process_writes(folder, monkeypatch):
    monkeypatch.setattr(run_end.jax, "process_index", lambda: 1)
    with pytest.raises(NonFiniteError), report_of_failure(folder, Console()):
        raise NonFiniteError("3 updates in a row")
    assert not (folder / "report.html").exists()

"""The page that a training leaves behind: at its end with pictures, after a failure without."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import jax
from rich.console import Console

from tvdim_jax.experiment.data import Splits
from tvdim_jax.experiment.errors import FAILED_RUN
from tvdim_jax.experiment.gallery import gallery_sections
from tvdim_jax.experiment.inference import TrainedRun
from tvdim_jax.experiment.report import Galleries, write_report
from tvdim_jax.report import Section, missing


def report_at_the_end(run: TrainedRun, splits: Splits, console: Console) -> None:
    """Writes report.html of a finished run; that it cannot be written is a warning and no more.

    Args:
      run: with the weights and the compiled encoders that lie in memory.
      splits: its sources.
      console: gets a line.
    """
    _write(Path(run.config.workdir), console, lambda: gallery_sections(run, splits))


@contextmanager
def report_of_failure(workdir: Path, console: Console) -> Iterator[None]:
    """Inside, an error of FAILED_RUN leaves a report.html that says it; then it goes its way.

    Its page has no pictures, for which encoders would be compiled.

    Args:
      workdir: the run folder.
      console: gets a line.
    """
    try:
        yield
    except FAILED_RUN as error:
        if jax.process_index() == 0:
            left_out = missing(
                "Written as the run failed. Pictures with their maps, texts and neighbours, by its "
                f"newest checkpoint: tvdim report {workdir}"
            )
            galleries = [Section("gallery", "Gallery", left_out)]
            _write(workdir, console, lambda: galleries, [f"the run failed: {error}"])
        raise


def _write(
    workdir: Path, console: Console, galleries: Galleries, warnings: Sequence[str] = ()
) -> None:
    start = time.perf_counter()
    try:
        path = write_report(workdir, galleries=galleries, warnings=warnings)
    except Exception as error:  # noqa: BLE001  # all is done and saved: nothing may lose it
        line = f"warning: no report was written: {error}; try `tvdim report {workdir}`"
    else:
        line = f"report in {path} ({time.perf_counter() - start:.0f} s)"
    console.print(line, highlight=False, soft_wrap=True)

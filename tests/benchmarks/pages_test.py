"""The tables of the studies in the docs are those of their records."""

from pathlib import Path

import pytest

from benchmarks import claims_lmi, claims_srcl, claims_tvdim
from benchmarks.studies.records import read_records
from benchmarks.studies.tables import write_report

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    "claims_lmi": (claims_lmi, "lmi.md"),
    "claims_srcl": (claims_srcl, "srcl.md"),
    "claims_tvdim": (claims_tvdim, "results.md"),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_tables_of_the_records(tmp_path, name):
    study, page = PAGES[name]
    runs = read_records(study.RESULTS)
    again = tmp_path / page
    again.write_text((DOCS / page).read_text(encoding="utf-8"), encoding="utf-8")
    write_report(again, name, runs, study.report(runs))
    assert again.read_text(encoding="utf-8") == (DOCS / page).read_text(encoding="utf-8")

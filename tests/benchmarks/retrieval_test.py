import json

import pytest

from benchmarks import retrieval


def test_both_forms_agree_and_tiles_need_less(tmp_path, capsys):
    file = tmp_path / "retrieval.json"
    retrieval.main(["--json", str(file)])
    record = json.loads(file.read_text())
    tiles, dense = record["retrieval"]
    assert (tiles["form"], dense["form"]) == ("tiles", "dense")
    assert 0.1 < record["recall of both"][0]["text_to_image_R@1"] < 0.9
    assert dense["device_bytes"] > 4 * 1500 * 4000  # the matrix itself is among them
    assert 4 * 1024**2 < tiles["device_bytes"] < dense["device_bytes"] / 2
    assert min(tiles["cpu_seconds"], dense["cpu_seconds"]) > 0
    assert "text_to_image_R@10" in capsys.readouterr().out


def test_memory_of_tiles_does_not_grow_with_the_set():
    small = retrieval.tile_bytes(retrieval.Size(2_000, 4_000, 32))
    large = retrieval.tile_bytes(retrieval.Size(5_000, 25_010, 32))
    assert small == large


def test_forms_that_disagree_are_an_error(monkeypatch):
    monkeypatch.setitem(retrieval.SIZES, "small", retrieval.Size(20, 40, 8))
    monkeypatch.setattr(retrieval, "dense_recall", lambda pairs: {})
    with pytest.raises(ValueError, match="wanted one set of recalls"):
        retrieval.main([])

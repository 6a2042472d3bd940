"""Small folders of images with captions, made for a test."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def jpeg(value: int = 100, size: tuple[int, int] = (12, 10), **options) -> bytes:
    """A flat grey JPEG, `size` in (width, height)."""
    buffer = io.BytesIO()
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture
def make_jpeg():
    return jpeg


@pytest.fixture
def make_folder(tmp_path):
    """fn(rows, name="set") -> folder: rows are (image name, content or None, captions, extra)."""

    def build(rows, name: str = "set") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        lines = []
        for image, content, captions, extra in rows:
            if content is not None:
                (folder / image).write_bytes(content)
            lines.append(json.dumps({"image": image, "captions": captions, **extra}))
        (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder

    return build


@pytest.fixture
def grey_folder(make_folder):
    """fn(n, bad=(), name="set") -> folder of n images; image i is flat grey of value 2 i."""

    def build(count: int, bad=(), name: str = "set") -> Path:
        return make_folder(
            [
                (
                    f"{i:03d}.jpg",
                    b"<html>" if i in bad else jpeg(2 * i),
                    [f"picture number {i}", f"grey of level {2 * i}", f"the image called {i}"],
                    {},
                )
                for i in range(count)
            ],
            name,
        )

    return build

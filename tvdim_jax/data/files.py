"""Reading of files that a data set names, never outside its folder."""

import os
import re
from pathlib import Path

from tvdim_jax.data.errors import BadExample

MAX_FILE_BYTES = 2**26

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # http://, file:, pipe:, and drives


def read_inside(root: Path, name: str) -> bytes:
    """Content of the file `name` under `root`.

    Args:
      root: the data folder, resolved (no symbolic links left in it).
      name: relative path, as the data set gives it.

    Returns:
      The bytes, at least one and at most MAX_FILE_BYTES.

    Raises:
      BadExample: "path outside the data folder" (an absolute name, a scheme such as `pipe:`, `..`
        or a symbolic link that leads out), "missing file", "empty file" or "file too large".
    """
    if _SCHEME.match(name):
        raise BadExample("path outside the data folder")
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise BadExample("path outside the data folder")
        if not path.is_file():  # also a pipe or a device, which would hang
            raise BadExample("missing file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise BadExample("file too large")
            content = file.read(MAX_FILE_BYTES)
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: NUL; RuntimeError: a loop
        raise BadExample("missing file") from error
    if not content:
        raise BadExample("empty file")
    return content

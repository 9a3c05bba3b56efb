"""Arrays by name in .npz files, of which nothing is executed; and files that are written whole."""

import contextlib
import errno
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Returns the content of an .npz file, the same bytes for the same arrays.

    Args:
      arrays: arrays of numbers by name.
    """
    content = io.BytesIO()
    np.savez(content, **arrays)  # pyrefly: ignore[bad-argument-type]: by any name.
    return content.getvalue()


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz file by name.

    Args:
      content: what the file holds, wherever it comes from.

    Raises:
      ValueError: it is none, is damaged, or holds something else than plain arrays.
    """
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise ValueError("it is a single array")
        return {name: np.asarray(found[name]) for name in found.files}
    except Exception as error:  # Damage comes to light in zip, zlib, struct, numpy, ...
        text = " ".join(f"{error}".split()) or type(error).__name__
        raise ValueError(f"it is no .npz of plain arrays, or damaged ({text})") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside a file, which takes the file's place once it is written whole.

    Args:
      path: the file.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_whole(path: Path, content: bytes, what: str) -> None:
    """Writes a file beside the one that it then replaces.

    Args:
      path: the file; links are followed.
      content: what it is to hold.
      what: what people call the content.

    Raises:
      OSError: the file cannot be written; an earlier one is kept.
    """
    path = Path(os.path.realpath(path))
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "not a regular file")
        with replacing(path) as partial, open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, f"{what} is not written, {error.strerror}", str(path)) from error

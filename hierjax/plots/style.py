"""The style of all figures, and how they read their runs."""

import json
import os
from pathlib import Path
from typing import Any

STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "figure.dpi": 200,
}
"""Settings of matplotlib under which all figures are drawn."""


def read_summary(folder: str | os.PathLike) -> dict:
    """Reads the result of the run in a folder, its summary.json."""
    return json.loads((Path(folder) / "summary.json").read_text())


def blocks_text(count: int) -> str:
    """Returns a number of blocks as people read it."""
    return "1 block" if count == 1 else f"{count} blocks"


def plain(name: str) -> str:
    """Returns the name of a learner as people read it."""
    return name.replace("_", " ")

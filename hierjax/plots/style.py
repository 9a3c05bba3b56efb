"""What all figures share."""

import json
import os
from pathlib import Path

STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "figure.dpi": 200,
}


def read_summary(folder: str | os.PathLike) -> dict:
    """The result of the run in a folder."""
    return json.loads((Path(folder) / "summary.json").read_text())


def plain(name: str) -> str:
    """A learner's name as people read it."""
    return name.replace("_", " ")

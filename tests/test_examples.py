"""The examples run, and find what they claim."""

import json
import re
import subprocess
import sys
from pathlib import Path

import hierjax

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "examples" / "quickstart.py"
CELL = "\n# %% "


def notebook_cells(kind):
    cells = json.loads(SCRIPT.with_suffix(".ipynb").read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def test_every_public_name_exists_and_is_documented():
    for name in hierjax.__all__:
        assert getattr(hierjax, name).__doc__, name
    public = {name for name, value in vars(hierjax).items() if callable(value)}
    assert public <= set(hierjax.__all__)


def test_the_notebook_says_what_the_script_says():
    cells = [cell.partition("\n") for cell in SCRIPT.read_text().split(CELL)[1:]]
    assert notebook_cells("markdown")[1:] == [title for title, _, _ in cells]
    assert notebook_cells("code") == [code.strip("\n") for _, _, code in cells]


def check(output):
    errors = re.findall(r"^(.*): test error ([.\d]+), worst ([.\d]+)", output, re.MULTILINE)
    assert [name for name, _, _ in errors] == [
        "layerwise",
        "my network, layer by layer",
        "my network, end to end",
    ]
    assert all(float(worst) < 0.02 for _, _, worst in errors), output


def test_it_runs():
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(notebook_cells("code"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    check(result.stdout)

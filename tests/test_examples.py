"""The examples run, and find what they claim."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hierjax
from tests.experiments import jobs

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "examples" / "quickstart.py"
CELL = "\n# %% "


def notebook_cells(kind):
    cells = json.loads(SCRIPT.with_suffix(".ipynb").read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def test_every_public_name_exists_and_is_documented():
    packages = {name for name in hierjax.__all__ if inspect.ismodule(getattr(hierjax, name))}
    assert packages == {"tasks", "exact", "theory", "models", "train", "measure", "runs"}
    assert len(hierjax.__all__) - len(packages) <= 15
    for package in (hierjax, *(getattr(hierjax, name) for name in packages)):
        assert package.__all__ == sorted(package.__all__, key=by_kind)
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isclass(value) or inspect.isroutine(value):
                assert value.__doc__, name


def by_kind(name):
    """Constants, classes, functions, as linters sort them."""
    return (not name.isupper(), name.islower(), name)


def test_earlier_names_of_the_face_are_deprecated():
    with pytest.warns(DeprecationWarning, match=r"hierjax.PatchLayer is hierjax.train.PatchLayer"):
        assert hierjax.PatchLayer is hierjax.train.PatchLayer
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = hierjax.Nothing


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
    )
    assert result.returncode == 0, result.stderr
    check(result.stdout)


def test_a_whole_experiment_is_a_small_file(tmp_path):
    """The control of the layerwise theorem: at chance after every layer, in every seed."""
    assert len((ROOT / "examples" / "latin_square.py").read_text().splitlines()) <= 60
    result = jobs.succeed("examples.latin_square", tmp_path, "--num_train=256", "--num_seeds=3")
    summary = jobs.summary_of(tmp_path)
    layers = summary["measures"]["layerwise"]
    assert len(layers) == 3
    for layer in layers:
        assert min(layer["test_error"]["per_seed"]) > 0.65
        assert max(layer["test_error"]["per_seed"]) < 0.85
    assert "test error (worst)" in result.out
    assert (tmp_path / "figure.png").exists()


def test_it_is_run_as_its_docstring_says():
    command = [sys.executable, "-m", "examples.latin_square", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--num_train: Number of train strings." in shown.stdout

"""Data flows one way: a room imports only from those before it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "tasks": {"tasks"},
    "theory": {"theory", "tasks"},
    "models": {"models", "tasks"},
    "train": {"train", "models", "tasks"},
    "measure": {"measure", "tasks"},
    "runs": {"runs", "train", "tasks"},
    "plots": {"plots"},
    "__init__": {"tasks", "theory", "models", "train", "measure", "runs"},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FILES = sorted((ROOT / "hierjax").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_from_rooms_before_them(path):
    room = path.relative_to(ROOT / "hierjax").parts[0].removesuffix(".py")
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("hierjax.")}
    assert rooms <= MAY_IMPORT[room], f"{path} imports from {rooms - MAY_IMPORT[room]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_reads_no_flags_and_no_internals(path):
    names = set(imports(path))
    assert not any(name.split(".")[0] in ("absl", "experiments", "benchmarks") for name in names)
    assert not any("._src" in name for name in names)
    if path.parent.name != "plots":
        assert not any(name.startswith("matplotlib") for name in names)

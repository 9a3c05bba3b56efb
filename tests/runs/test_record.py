import errno
import json
import os
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.runs.record import RunFolder

REQUEST = {"spec": {"depth": 3, "branching": (2, 2, 2)}, "seed": 0}


@pytest.fixture
def open_folder(tmp_path):
    """Opens the run folder, after closing the one opened before."""
    opened = []

    def open_next(path=tmp_path, request=REQUEST, overwrite=False):
        while opened:
            opened.pop().close()
        opened.append(RunFolder(path, "test", request, overwrite))
        return opened[-1]

    yield open_next
    for folder in opened:
        folder.close()


def events(folder):
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_a_folder_opens_again_for_the_same_request(open_folder, tmp_path):
    open_folder(tmp_path / "deep" / "run").log("one", value=jnp.arange(2))
    again = open_folder(tmp_path / "deep" / "run")
    again.log("two")
    assert events(again) == ["one", "two"]
    config = json.loads((again.path / "config.json").read_text())
    assert config["request"]["experiment"] == "test"
    assert config["request"]["spec"]["branching"] == [2, 2, 2]
    assert {"versions", "device", "platform", "commit"} <= set(config["environment"])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"spec": {"depth": 4, "branching": (2, 2, 2)}}, r"spec\.depth=3, not 4"),
        ({"option": None}, "option=absent, not None"),
        ({"seed": {}}, "seed=0, not absent"),
    ],
)
def test_another_request_is_refused_and_named(open_folder, changed, words):
    open_folder()
    with pytest.raises(ValueError, match=f"holds a run with {words}"):
        open_folder(request={**REQUEST, **changed})
    open_folder()


def test_another_experiment_is_refused(open_folder, tmp_path):
    open_folder().close()
    with pytest.raises(ValueError, match="experiment=test, not other"):
        RunFolder(tmp_path, "other", REQUEST)


def test_two_runs_never_share_a_folder(open_folder, tmp_path):
    folder = open_folder()
    folder.log("first")
    for overwrite in (False, True):
        with pytest.raises(OSError, match="another run is at work in it"):
            RunFolder(tmp_path, "test", REQUEST, overwrite)
    assert events(folder) == ["first"]


def test_overwriting_forgets_the_run_and_nothing_else(open_folder, tmp_path):
    old = open_folder()
    old.log("old")
    old.checkpoints.mkdir()
    (old.checkpoints / "step").write_text("x")
    (tmp_path / "thesis.tex").write_text("keep me")
    new = open_folder(request={"seed": 5}, overwrite=True)
    new.log("new")
    assert events(new) == ["new"]
    assert not new.checkpoints.exists()
    assert (tmp_path / "thesis.tex").read_text() == "keep me"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        {"config.json": '{"lr": 0.1}', "checkpoints/model.pt": "weights"},
        {"config.json": '{"request": 5}'},
        {"config.json": "[]"},
        {"config.json": '{"request": ["experiment"]}'},
        {"config.json": '{"request": "experiment"}'},
        {"config.json": '{"request": '},
        {"summary.json": "{}"},
        {"metrics.jsonl": "no newline"},
        {"checkpoints": "a file"},
    ],
)
def test_files_that_no_run_wrote_are_never_touched(open_folder, tmp_path, files, overwrite):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=r"but no config\.json of a run that wrote it"):
        open_folder(overwrite=overwrite)
    for name, content in files.items():
        assert (tmp_path / name).read_text() == content
    assert not (tmp_path / ".lock").exists()


def test_a_workdir_that_cannot_be_made_is_named(open_folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"workdir .*file/run cannot be used"):
        open_folder(tmp_path / "file" / "run")
    with pytest.raises(ValueError, match="workdir is empty"):
        open_folder("")


@pytest.mark.parametrize("path", ["gs://\x00", "s3://run", "a\x00b", "a\udcffb", "~no-such-user/x"])
def test_a_workdir_that_is_no_folder_of_this_machine_is_refused(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="workdir="):
        RunFolder(path, "test", REQUEST)
    assert not list(tmp_path.iterdir())


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = RunFolder("~/runs/x", "test", REQUEST)
    assert folder.path == tmp_path / "runs" / "x"
    folder.close()


@pytest.mark.parametrize("fate", ["removed", "moved", "replaced", "replaced by another run"])
def test_nothing_is_written_where_the_folder_was(open_folder, tmp_path, fate):
    path = tmp_path / "run"
    folder = open_folder(path)
    path.rename(tmp_path / "away")
    if fate == "removed":
        shutil.rmtree(tmp_path / "away")
    elif fate == "replaced":
        path.mkdir()
    elif fate == "replaced by another run":
        RunFolder(path, "other", REQUEST).close()
    before = sorted(tmp_path.rglob("*"))
    writes = (
        lambda: folder.log("one"),
        lambda: folder.write_json("summary.json", {}),
        lambda: folder.write_arrays("embeddings.npz", {"x": np.zeros(3)}),
        folder.require_present,
    )
    for write in writes:
        with pytest.raises(OSError, match=r"run folder .*run was removed, moved or replaced"):
            write()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_named_and_leaves_the_old_file(open_folder, tmp_path, monkeypatch):
    folder = open_folder()
    folder.write_json("summary.json", {"a": 1})

    def fill(path, *_):
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(OSError, match=r"summary\.json cannot be written \(No space left on device"):
        folder.write_json("summary.json", {"a": 2})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"a": 1}
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_a_torn_last_event_is_dropped(open_folder, tmp_path):
    open_folder().log("whole")
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"event": "to')
    again = open_folder()
    again.log("next")
    assert events(again) == ["whole", "next"]


def test_json_is_strict(open_folder, tmp_path):
    folder = open_folder()
    folder.write_json("summary.json", {"a": float("nan"), "b": np.float32(0.5), "c": (jnp.inf, 1)})

    def refuse(constant):
        raise AssertionError(constant)

    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text, parse_constant=refuse) == {"a": None, "b": 0.5, "c": [None, 1]}


def test_a_failed_write_leaves_the_old_file(open_folder, tmp_path):
    folder = open_folder()
    folder.write_json("summary.json", {"a": 1})
    with pytest.raises(TypeError):
        folder.write_json("summary.json", {"a": object()})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"a": 1}

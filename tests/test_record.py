import json

import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.record import RunFolder

REQUEST = {"spec": {"depth": 3, "branching": (2, 2, 2)}, "seed": 0}


def events(folder):
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_a_folder_opens_again_for_the_same_request(tmp_path):
    RunFolder(tmp_path / "deep" / "run", REQUEST).log("one", value=jnp.arange(2))
    again = RunFolder(tmp_path / "deep" / "run", REQUEST)
    again.log("two")
    assert events(again) == ["one", "two"]
    config = json.loads((again.path / "config.json").read_text())
    assert config["request"]["spec"]["branching"] == [2, 2, 2]
    assert {"versions", "device", "commit"} <= set(config["environment"])


def test_another_request_is_refused_and_named(tmp_path):
    RunFolder(tmp_path, REQUEST)
    other = {**REQUEST, "spec": {**REQUEST["spec"], "depth": 4}}
    with pytest.raises(ValueError, match=r"holds a run with spec\.depth=3, not 4"):
        RunFolder(tmp_path, other)
    RunFolder(tmp_path, REQUEST)


def test_overwriting_forgets_the_run_and_nothing_else(tmp_path):
    old = RunFolder(tmp_path, REQUEST)
    old.log("old")
    old.checkpoints.mkdir()
    (old.checkpoints / "step").write_text("x")
    (tmp_path / "thesis.tex").write_text("keep me")
    new = RunFolder(tmp_path, {"seed": 5}, overwrite=True)
    new.log("new")
    assert events(new) == ["new"]
    assert not new.checkpoints.exists()
    assert (tmp_path / "thesis.tex").read_text() == "keep me"


def test_checkpoints_of_unknown_origin_are_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match=r"no config\.json beside it"):
        RunFolder(tmp_path, REQUEST)


def test_an_unreadable_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"request": ')
    with pytest.raises(ValueError, match="cannot be read"):
        RunFolder(tmp_path, REQUEST)


def test_a_workdir_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"workdir .*file/run cannot be used"):
        RunFolder(tmp_path / "file" / "run", REQUEST)


def test_a_torn_last_event_is_dropped(tmp_path):
    RunFolder(tmp_path, REQUEST).log("whole")
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"event": "to')
    again = RunFolder(tmp_path, REQUEST)
    again.log("next")
    assert events(again) == ["whole", "next"]


def test_json_is_strict(tmp_path):
    folder = RunFolder(tmp_path, REQUEST)
    folder.write_json("summary.json", {"a": float("nan"), "b": np.float32(0.5), "c": (jnp.inf, 1)})

    def refuse(constant):
        raise AssertionError(constant)

    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text, parse_constant=refuse) == {"a": None, "b": 0.5, "c": [None, 1]}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    folder = RunFolder(tmp_path, REQUEST)
    folder.write_json("summary.json", {"a": 1})
    with pytest.raises(TypeError):
        folder.write_json("summary.json", {"a": object()})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"a": 1}

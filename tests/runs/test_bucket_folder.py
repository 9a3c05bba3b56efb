import json
import time
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from etils.epath import gpath
from orbax.checkpoint._src.path import gcs_utils

from hierjax.runs import bucket_folder
from hierjax.runs.checkpoint import LayerCheckpoints
from hierjax.runs.record import RunFolder
from tests.runs.fake_bucket import FakeBuckets

URL = "gs://bucket/run"


@pytest.fixture
def buckets(monkeypatch):
    found = FakeBuckets()
    monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, "gs", found)
    monkeypatch.setattr(bucket_folder, "_SECONDS", 0.02)
    monkeypatch.setattr(bucket_folder, "_SECONDS_OF_SILENCE", 0.5)
    monkeypatch.setattr(bucket_folder, "_SECONDS_TO_SIGN", 0)
    return found


@pytest.fixture
def open_folder(buckets):
    opened = []

    def open_next(request=None, overwrite=False, url=URL):
        opened.append(RunFolder(url, "test", request or {"seed": 0}, overwrite))
        return opened[-1]

    yield open_next
    for folder in opened:
        folder.close()


def kept(buckets):
    return {name.removeprefix("bucket/run/") for name in buckets.objects}


def said(buckets):
    lines = buckets.objects.get("bucket/run/metrics.jsonl", b"").splitlines()
    return [json.loads(line)["event"] for line in lines]


def wait_until(holds):
    for _ in range(500):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError


def test_what_a_run_writes_is_in_the_bucket_and_the_next_goes_on(open_folder, buckets):
    folder = open_folder()
    folder.log("one")
    folder.write_json("summary.json", {"a": 1})
    folder.write_arrays("embeddings.npz", {"x": np.zeros(3)})
    assert json.loads(buckets.objects["bucket/run/summary.json"]) == {"a": 1}
    here = Path(folder.path)
    (here / "profile" / "deep").mkdir(parents=True)
    (here / "profile" / "deep" / "host.pb").write_bytes(b"trace")
    folder.close()
    assert not here.exists()
    files = {"config.json", "metrics.jsonl", "summary.json", "embeddings.npz"}
    assert kept(buckets) == files | {"profile/deep/host.pb"}
    again = open_folder()
    assert json.loads((again.path / "summary.json").read_text()) == {"a": 1}
    again.log("two")
    again.close()
    assert said(buckets) == ["one", "two"]
    with pytest.raises(ValueError, match="gs://bucket/run holds a run with seed=0, not 1"):
        open_folder({"seed": 1})


def test_events_go_to_the_bucket_while_the_run_is_at_work(open_folder, buckets):
    folder = open_folder()
    for number in range(3):
        folder.log(f"event {number}")
        wait_until(lambda number=number: len(said(buckets)) == number + 1)


def test_overwriting_forgets_the_run_and_nothing_else(open_folder, buckets):
    open_folder().log("old")
    time.sleep(0.1)
    buckets.objects |= {"bucket/run/checkpoints/a/b": b"", "bucket/run/thesis.tex": b"keep me"}
    buckets.objects.pop("bucket/run/.lock")  # The run was killed, long ago.
    folder = open_folder({"seed": 5}, overwrite=True)
    assert kept(buckets) == {"config.json", "thesis.tex", ".lock"}
    assert folder.events("old") == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["summary.json", "checkpoints/model.pt"])
def test_objects_that_no_run_wrote_are_never_touched(open_folder, buckets, name, overwrite):
    buckets.objects[f"bucket/run/{name}"] = b"mine"
    with pytest.raises(ValueError, match=r"but no config\.json of a run that wrote it"):
        open_folder(overwrite=overwrite)
    assert buckets.objects == {f"bucket/run/{name}": b"mine"}


def test_two_runs_never_share_a_folder(open_folder, buckets):
    open_folder().log("first")
    for overwrite in (False, True):
        with pytest.raises(OSError, match="another run is at work in it"):
            open_folder(overwrite=overwrite)
    wait_until(lambda: said(buckets) == ["first"])


def test_of_two_runs_that_begin_at_once_one_is_refused(open_folder, buckets, monkeypatch):
    def another_signs(seconds):
        buckets.objects["bucket/run/.lock"] = b"another 000000001"

    monkeypatch.setattr(bucket_folder, "time", types.SimpleNamespace(sleep=another_signs))
    with pytest.raises(OSError, match="another run is at work in it"):
        open_folder()
    assert buckets.objects == {"bucket/run/.lock": b"another 000000001"}


def test_the_folder_of_a_run_that_was_killed_is_taken_over(open_folder, buckets):
    open_folder().close()
    buckets.objects["bucket/run/.lock"] = b"another 000000001"
    folder = open_folder()
    folder.log("next")
    folder.close()
    assert said(buckets) == ["next"]
    assert ".lock" not in kept(buckets)


@pytest.mark.parametrize("fate", ["removed", "taken over"])
def test_nothing_is_written_once_the_folder_is_lost(open_folder, buckets, fate):
    folder = open_folder()
    buckets.objects.clear()
    if fate == "taken over":
        buckets.objects["bucket/run/.lock"] = b"another 000000001"
    before = dict(buckets.objects)

    def is_lost():
        try:
            folder.require_present()
        except OSError as error:
            return "gs://bucket/run was removed, or taken over by another run" in str(error)

    wait_until(is_lost)
    for write in (lambda: folder.log("one"), lambda: folder.write_json("summary.json", {})):
        with pytest.raises(OSError, match="nothing more is written"):
            write()
    folder.close()
    assert {name: each for name, each in buckets.objects.items() if name in before} == before
    assert not {"summary.json", "metrics.jsonl"} & kept(buckets)


def test_a_bucket_that_answers_again_is_written_again(open_folder, buckets):
    folder = open_folder()
    buckets.failure = RuntimeError("503, try again\nmore")

    def fails():
        try:
            folder.require_present()
        except OSError as error:
            return "cannot be reached (503, try again): nothing more" in str(error)

    wait_until(fails)
    buckets.failure = None
    wait_until(lambda: not fails())
    folder.log("after")
    folder.close()
    assert said(buckets) == ["after"]


@pytest.mark.parametrize(
    ("url", "failure", "words"),
    [
        ("gs://other/run", None, "there is no such bucket"),
        (URL, RuntimeError("Anonymous caller has no access, 401"), "Anonymous caller has no"),
        (URL, ImportError("Please install gcsfs"), "Please install gcsfs"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_named(open_folder, buckets, url, failure, words):
    buckets.failure = failure
    with pytest.raises(OSError, match=rf"^workdir {url} cannot be used \({words}.*\): choose an"):
        open_folder(url=url)
    assert not buckets.objects


def test_checkpoints_are_in_the_bucket(buckets, monkeypatch):
    server = buckets.serve()
    address = f"127.0.0.1:{server.server_port}"
    monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", f"http://{address}")
    monkeypatch.setenv("GCE_METADATA_ROOT", address)
    monkeypatch.setattr(gcs_utils, "is_hierarchical_namespace_enabled", lambda path: False)
    layers = [{"w": np.arange(6.0, dtype=np.float32).reshape(2, 3) + index} for index in range(2)]
    layout = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), layers)
    with LayerCheckpoints(f"{URL}/checkpoints", "run") as checkpoints:
        checkpoints.save(0, layers[0], {"seconds": 1})
        checkpoints.save_rounds(1, layers[1])
    with LayerCheckpoints(f"{URL}/checkpoints", "run") as checkpoints:
        found = [*checkpoints.restore(2, layout.__getitem__)]
        found.append(checkpoints.restore_rounds(1, lambda: layout[1]))
        checkpoints.save(1, layers[1])
    jax.tree.map(np.testing.assert_array_equal, found, layers)
    assert not [name for name in kept(buckets) if "rounds_1" in name]
    server.shutdown()

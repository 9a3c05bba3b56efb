"""Strings in files: the very strings of the library's splits, whatever befalls their writer."""

import errno
import json
import os
import shutil
import sys

import chex
import jax
import numpy as np
import pytest

from hierjax.runs import (
    DatasetSizes,
    DatasetWriter,
    RunFolder,
    open_dataset,
    to_hugging_face,
    to_torch,
    write_dataset,
)
from hierjax.tasks import (
    RandomHierarchySpec,
    draw_random_hierarchy,
    from_rules,
    make_split,
    save_grammar,
    unseen_candidates,
)

pytestmark = pytest.mark.usefixtures("untyped")

GRAMMAR = draw_random_hierarchy(jax.random.key(0), RandomHierarchySpec(4, 6, 3, 2, 2))
KEY = jax.random.key(1)
SIZES = DatasetSizes(num_strings=50, num_test=9, strings_per_shard=16)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished dataset, to be read only."""
    folder = tmp_path_factory.mktemp("strings") / "run"
    write_dataset(folder, GRAMMAR, KEY, SIZES)
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def joined(batches):
    batches = list(batches)
    return {name: np.concatenate([each[name] for each in batches]) for name in batches[0]}


def of_batch(batch, trees=True):
    inner = {f"level_{level}": each for level, each in enumerate(batch.latents)} if trees else {}
    arrays = {"inputs": batch.inputs, "labels": batch.labels} | inner
    return {name: arrays[name] for name in arrays if name not in ("level_0", "level_2")}


def shards_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "strings").glob("*.npz")}


def test_the_strings_are_those_of_the_split(finished):
    split, strings = make_split(GRAMMAR, KEY, 50, 9), open_dataset(finished)
    for name, batch in (("train", split.train), ("test", split.test)):
        found = joined(strings.read_shards(name))
        chex.assert_trees_all_equal(found, of_batch(batch))
        chex.assert_trees_all_equal_dtypes(found, of_batch(batch))
        assert strings.num_strings(name) == len(batch.labels)
    assert [len(shard["labels"]) for shard in strings.read_shards()] == [16, 16, 16, 2]
    chex.assert_trees_all_equal(strings.grammar, GRAMMAR)


def test_the_strings_do_not_depend_on_the_size_of_shards(finished, tmp_path):
    write_dataset(
        tmp_path, GRAMMAR, KEY, DatasetSizes(num_strings=50, strings_per_shard=99, trees=False)
    )
    (found,) = open_dataset(tmp_path).read_shards()
    whole = joined(open_dataset(finished).read_shards())
    chex.assert_trees_all_equal(found, {name: whole[name] for name in ("inputs", "labels")})


def test_test_strings_are_drawn_until_there_are_enough(tmp_path):
    """Of a language nearly all of whose probability the train strings hold."""
    weights = [[[0.98, 0.01, 0.01]] * n for n in (4, 6)]
    prior = [0.985, 0.005, 0.005, 0.005]
    grammar = GRAMMAR.replace(
        rule_probabilities=from_rules(GRAMMAR.rules, 6, weights).rule_probabilities,
        class_prior=from_rules(GRAMMAR.rules, 6, None, prior).class_prior,
    )
    split = make_split(grammar, KEY, 50, 9)
    train = {bytes(row) for row in np.asarray(split.train.inputs)}
    once = np.asarray(unseen_candidates(grammar, KEY, 0, 9).inputs)
    assert sum(bytes(row) not in train for row in once) < 9  # One draw is not enough.
    write_dataset(tmp_path, grammar, KEY, SIZES)
    found = joined(open_dataset(tmp_path).read_shards("test"))
    chex.assert_trees_all_equal(found, of_batch(split.test))


@pytest.mark.parametrize("last", [1, 3, 5])
def test_a_writer_that_was_stopped_goes_on_to_the_same_files(finished, tmp_path, monkeypatch, last):
    """It is stopped after a shard is written and before that is recorded."""
    log, write, written = RunFolder.log, RunFolder.write_arrays, []

    def count(folder, name, arrays):
        written.append(name)
        write(folder, name, arrays)

    def stop(folder, event, **fields):
        if event == "shard" and len(written) == last:
            raise KeyboardInterrupt
        log(folder, event, **fields)

    monkeypatch.setattr(RunFolder, "write_arrays", count)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "log", stop)
        with pytest.raises(KeyboardInterrupt):
            write_dataset(tmp_path, GRAMMAR, KEY, SIZES)
    with pytest.raises(ValueError, match=r"holds no finished dataset, which has a dataset\.json"):
        open_dataset(tmp_path)
    write_dataset(tmp_path, GRAMMAR, KEY, SIZES)
    assert len(written) == 5 + 1  # All, and the one that was not recorded.
    assert shards_of(tmp_path) == shards_of(finished)
    index = (tmp_path / "dataset.json").read_text()
    assert index == (finished / "dataset.json").read_text()


def test_shards_that_were_damaged_are_written_anew(finished, copy, monkeypatch):
    strings = copy / "strings"
    with open(strings / "train-00001.npz", "r+b") as file:
        file.truncate(200)
    (strings / "test-00000.npz").unlink()
    with DatasetWriterClosing(copy) as writer:
        assert writer.num_kept == 34
        writer.carry_out()
    assert shards_of(copy) == shards_of(finished)
    monkeypatch.setattr(RunFolder, "write_arrays", lambda *_: pytest.fail("a shard is written"))
    write_dataset(copy, GRAMMAR, KEY, SIZES)


class DatasetWriterClosing(DatasetWriter):
    def __init__(self, folder, sizes=SIZES, key=KEY):
        super().__init__(folder, GRAMMAR, key, sizes)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.mark.parametrize(("batch_size", "num_parts"), [(1, 1), (7, 3), (64, 2), (16, 60)])
def test_parts_share_the_strings(finished, batch_size, num_parts):
    strings = open_dataset(finished)
    whole = joined(strings.read_shards())
    for part in range(num_parts):
        batches = list(strings.batches(batch_size, "train", part, num_parts))
        own = {name: rows[part::num_parts] for name, rows in whole.items()}
        if not len(own["labels"]):
            assert batches == []
            continue
        chex.assert_trees_all_equal(joined(batches), own)
        *full, last = [len(batch["labels"]) for batch in batches]
        assert full == [batch_size] * len(full)
        assert 1 <= last <= batch_size


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0,), "batch_size=0 must be at least 1"),
        ((4, "train", 2, 2), "part=2 must be from 0 to num_parts - 1 = 1"),
        ((4, "validation"), "has no split 'validation': choose of train, test"),
    ],
)
def test_what_cannot_be_read_is_said_at_once(finished, arguments, words):
    with pytest.raises(ValueError, match=words):
        open_dataset(finished).batches(*arguments)


def test_damage_is_named_by_its_reader(copy, finished):
    strings, shard = open_dataset(copy), copy / "strings" / "train-00002.npz"
    whole = shard.read_bytes()
    other = (finished / "strings" / "train-00001.npz").read_bytes()
    for content in (whole[:-1], other, b""):
        shard.write_bytes(content)
        with pytest.raises(ValueError, match=r"train-00002\.npz is not the file that was written"):
            list(strings.batches(4))
    shard.unlink()
    with pytest.raises(ValueError, match=r"train-00002\.npz is missing, which dataset\.json lists"):
        list(strings.batches(4))
    save_grammar(copy / "strings/grammar.json", draw_random_hierarchy(KEY, GRAMMAR.spec))
    with pytest.raises(ValueError, match="is not the grammar that the strings were drawn of"):
        _ = strings.grammar


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda index: "{", "is no index of a dataset, or damaged"),
        (lambda index: json.dumps({"format": 1}), "is no index of a dataset"),
        (lambda index: json.dumps(index | {"format": "other"}), "is of the format 'other'"),
        (lambda index: json.dumps(index | {"num_strings": 51}), "does not list the strings"),
        (lambda index: json.dumps(index).replace("train-00001", "../../x"), "does not list"),
    ],
)
def test_what_is_no_index_is_named(copy, change, words):
    path = copy / "dataset.json"
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(ValueError, match=words) as refusal:
        open_dataset(copy)
    assert "\n" not in str(refusal.value)


def test_a_folder_is_of_one_dataset_and_one_writer(copy):
    before = shards_of(copy)
    for sizes, key, words in (
        (DatasetSizes(num_strings=50), KEY, "num_test=9, not 0"),
        (SIZES, jax.random.key(2), r"key=\[0, 1\], not \[0, 2\]"),
    ):
        with pytest.raises(ValueError, match=f"holds a run with {words}: choose another workdir"):
            DatasetWriterClosing(copy, sizes, key)
    with DatasetWriterClosing(copy), pytest.raises(OSError, match="another run is at work in it"):
        DatasetWriterClosing(copy)
    assert shards_of(copy) == before


def test_a_full_disk_is_named_and_loses_nothing(tmp_path, finished, monkeypatch):
    replace = os.replace

    def full(source, target):
        if str(target).endswith("train-00002.npz"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match=r"train-00002\.npz cannot be written \(No space left"):
            write_dataset(tmp_path, GRAMMAR, KEY, SIZES)
    assert sorted(shards_of(tmp_path)) == ["train-00000.npz", "train-00001.npz"]
    assert not list((tmp_path / "strings").glob(".*"))
    with DatasetWriterClosing(tmp_path) as writer:
        assert writer.num_kept == 32


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path):
    for change, words in (
        ({"num_strings": 0}, "num_strings=0 must be from 1 to 2147483647"),
        ({"num_test": 17}, "num_test=17 must be at most strings_per_shard=16"),
    ):
        with pytest.raises(ValueError, match=words):
            DatasetSizes(**{"num_strings": 50, "strings_per_shard": 16, **change})
    for sizes, key, words in (
        (DatasetSizes(num_strings=100, num_test=9), KEY, "the language of 108 strings"),
        (SIZES, jax.random.key(0, impl="rbg"), "must be of threefry2x32"),
    ):
        with pytest.raises(ValueError, match=words):
            DatasetWriterClosing(tmp_path / "run", sizes, key)
    with pytest.raises(ValueError, match="gs://bucket/run is not of this machine"):
        DatasetWriterClosing("gs://bucket/run")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("convert", "package"), [(to_torch, "torch"), (to_hugging_face, "datasets")]
)
def test_packages_that_are_not_installed_are_named(finished, monkeypatch, convert, package):
    monkeypatch.setitem(sys.modules, package, None)
    words = rf"the package {package} is not installed.*pip install 'hierjax\[datasets\]'"
    with pytest.raises(ValueError, match=words):
        convert(finished)


@pytest.mark.parametrize(("batch_size", "num_workers"), [(None, 0), (4, 0), (4, 2)])
def test_pytorch_reads_every_string_once(finished, batch_size, num_workers):
    data = pytest.importorskip("torch.utils.data")
    whole, rows = joined(open_dataset(finished).read_shards()), []
    for rank in range(3):
        strings = to_torch(finished, batch_size, rank=rank, world_size=3)
        loader = data.DataLoader(
            strings,
            batch_size=5 if batch_size is None else None,
            num_workers=num_workers,
            multiprocessing_context="spawn" if num_workers else None,
        )
        batches = [{name: each.numpy() for name, each in batch.items()} for batch in loader]
        own = joined(batches)
        assert len(own["labels"]) in (16, 17)
        rows.append(own)
        if num_workers == 0:
            chex.assert_trees_all_equal(own, {name: each[rank::3] for name, each in whole.items()})
    found = joined(rows)
    for name, rows in whole.items():
        assert found[name].dtype == rows.dtype
    key = lambda each: sorted(map(tuple, np.c_[each["inputs"], each["labels"], each["level_1"]]))  # noqa: E731
    assert key(found) == key(whole)


def test_pytorch_is_told_of_bad_numbers_at_once(finished):
    pytest.importorskip("torch")
    for more, words in (
        ({"rank": 2, "world_size": 2}, "rank=2 must be from 0 to world_size - 1 = 1"),
        ({"rank": 0}, "rank=0 and world_size=None: give both, or none"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"split": "none"}, "has no split 'none'"),
    ):
        with pytest.raises(ValueError, match=words):
            to_torch(finished, **more)


def test_datasets_of_hugging_face_have_the_same_strings(copy):
    datasets = pytest.importorskip("datasets")
    for split in ("train", "test"):
        whole = joined(open_dataset(copy).read_shards(split))
        for _ in range(2):  # The second time the file is there.
            table = to_hugging_face(copy, split)
            assert table.num_rows == len(whole["labels"])
            assert table.features["inputs"] == datasets.List(datasets.Value("uint8"), length=4)
            found = table.with_format("numpy")[:]
            chex.assert_trees_all_equal({name: found[name] for name in whole}, whole)
    assert len(list((copy / "strings").glob("*"))) == 5 + 1 + 2

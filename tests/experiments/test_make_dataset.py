"""The command that writes strings to files."""

import json

import jax
import numpy as np
import pytest

from experiments import make_dataset
from hierjax.runs import RunFolder, draw_strings, leaves, open_dataset, seed_keys
from hierjax.tasks import GrammarDraw, RandomHierarchySpec, load_grammar, save_grammar
from tests.experiments import jobs

SPEC = RandomHierarchySpec(4, 6, 3, 2, 2)
FLAGS = (
    "--num_classes=4",
    "--vocab_size=6",
    "--num_rules=3",
    "--depth=2",
    "--num_strings=50",
    "--num_test=9",
    "--strings_per_shard=16",
)


def call(workdir, *flags):
    return jobs.call("make_dataset", f"--workdir={workdir}", *flags)


def test_help_explains_every_flag():
    shown = jobs.call("make_dataset", "--help")
    assert (shown.code, shown.err) == (0, "")
    for leaf in leaves(make_dataset.Request):
        assert f"{leaf.flag}:" in shown.out


def test_the_files_are_those_of_the_first_seed_of_experiments(tmp_path):
    """And the same command goes on where it failed, to the same files."""
    with pytest.MonkeyPatch.context() as patch:
        log = RunFolder.log

        def fail(folder, event, **fields):
            if event == "shard" and folder.events(event):
                raise OSError("by a test")
            log(folder, event, **fields)

        patch.setattr(RunFolder, "log", fail)
        failed = call(tmp_path, *FLAGS, "--seed=3")
    assert failed.code == 1
    assert failed.err.startswith("make_dataset: by a test (traceback in ")
    assert failed.err.count("\n") == 1
    done = call(tmp_path, *FLAGS, "--seed=3")
    assert (done.code, done.err) == (0, "")
    assert "16 strings are written already" in done.out
    assert "50 strings and 9 unseen ones of 4 tokens with their trees" in done.out

    data = draw_strings(seed_keys(3, 1)[0], SPEC, 50, 9)
    strings = open_dataset(tmp_path)
    for split, batch in (("train", data.train), ("test", data.test)):
        (found,) = strings.batches(64, split)
        np.testing.assert_array_equal(found["inputs"], batch.inputs)
        np.testing.assert_array_equal(found["labels"], batch.labels)
        np.testing.assert_array_equal(found["level_1"], batch.latents[1])
    for mine, theirs in zip(strings.grammar.rules, data.grammar.rules, strict=True):
        np.testing.assert_array_equal(mine, theirs)

    before = (tmp_path / "dataset.json").read_bytes()
    again = call(tmp_path, *FLAGS, "--seed=4")
    assert again.code == 2
    assert "holds a run with key=" in again.err
    assert again.err.count("\n") == 1
    assert (tmp_path / "dataset.json").read_bytes() == before


def test_grammars_are_drawn_as_in_experiments(tmp_path):
    flags = ("--zipf=1", "--class_prior=0.4,0.3,0.2,0.1", "--seed=3")
    done = call(tmp_path, *FLAGS, *flags)
    assert (done.code, done.err) == (0, "")
    draw = GrammarDraw(zipf=(1.0,), class_prior=(0.4, 0.3, 0.2, 0.1))
    data, strings = draw_strings(seed_keys(3, 1)[0], SPEC, 50, 9, draw), open_dataset(tmp_path)
    (found,) = strings.batches(64)
    np.testing.assert_array_equal(found["inputs"], data.train.inputs)
    shares = strings.grammar.rule_probabilities[0][0]
    np.testing.assert_allclose(shares, [36 / 49, 9 / 49, 4 / 49], rtol=1e-6)


@pytest.mark.parametrize("name", ["mine.json", "mine.npz"])
def test_a_grammar_of_a_file(tmp_path, name):
    data = draw_strings(jax.random.key(0), SPEC, 50, 9)
    save_grammar(tmp_path / name, data.grammar)
    flags = f"--grammar={tmp_path / name}", "--num_strings=50", "--notrees"
    done = call(tmp_path / "run", *flags)
    assert (done.code, done.err) == (0, "")
    (found,) = open_dataset(tmp_path / "run").batches(64)
    assert set(found) == {"inputs", "labels"}
    written = load_grammar(tmp_path / "run/strings/grammar.json")
    assert json.loads((tmp_path / "run/dataset.json").read_text())["spec"]["depth"] == 2
    np.testing.assert_array_equal(written.rules[1], data.grammar.rules[1])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--num_strings=0", "num_strings=0 must be from 1 to 2147483647"),
        ("--num_test=70000", "num_test=70000 must be at most strings_per_shard=65536"),
        ("--depth=1 --num_strings=64 --num_test=1", "the language of 64 strings"),
        ("--zipf=1,1", "zipf lists 2 numbers for 4 levels: give one for each"),
        ("--grammar=x.npz --zipf=1", "--zipf is for --grammar random, not x.npz: drop it"),
        ("--grammar=x.npz --depth=3", "--depth is for --grammar random, not x.npz: drop it"),
        ("--grammar=nowhere.json", "nowhere.json"),
        ("--grammar=/dev/null", "/dev/null is no grammar: it is no JSON"),
        ("--workdir=gs://bucket/run", "workdir=gs://bucket/run is not of this machine"),
        ("--num_string=3", "Unknown command line flag 'num_string'"),
    ],
)
def test_bad_requests_end_in_one_line(tmp_path, flags, words):
    jobs.check_refused("make_dataset", tmp_path / "run", flags, words)

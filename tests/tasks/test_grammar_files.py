import errno
import json
import os

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.tasks import (
    RandomHierarchySpec,
    draw_random_hierarchy,
    from_rules,
    load_grammar,
    save_grammar,
)

pytestmark = pytest.mark.usefixtures("untyped")

SPEC = RandomHierarchySpec(3, 4, 2, 2, 2)
GRAMMAR = draw_random_hierarchy(jax.random.key(0), SPEC)


def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "grammar.json"
    path.write_text("earlier")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"not written, No space left .*grammar\.json") as refusal:
        save_grammar(path, GRAMMAR)
    assert refusal.value.errno == errno.ENOSPC
    assert path.read_text() == "earlier"
    assert os.listdir(tmp_path) == ["grammar.json"]


def test_a_link_goes_on_pointing_to_the_file(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "grammar.json")
    save_grammar(tmp_path / "link.json", GRAMMAR)
    assert (tmp_path / "link.json").is_symlink()
    assert load_grammar(tmp_path / "grammar.json").spec == SPEC
    assert len(os.listdir(tmp_path)) == 2


def test_what_is_no_file_is_not_replaced(tmp_path):
    with pytest.raises(OSError, match="not a regular file"):
        save_grammar(tmp_path, GRAMMAR)
    with pytest.raises(FileNotFoundError, match="missing"):
        save_grammar(tmp_path / "missing" / "grammar.json", GRAMMAR)


def test_many_grammars_are_not_one(tmp_path):
    keys = jax.random.split(jax.random.key(0), 3)
    many = jax.vmap(lambda key: draw_random_hierarchy(key, SPEC))(keys)
    words = r"rules of level 0 have shape \(3, 3, 2, 2\), but must have \(3, 2, 2\): of a batch"
    with pytest.raises(ValueError, match=words):
        save_grammar(tmp_path / "many.json", many)
    with pytest.raises(ValueError, match=words):
        many.sample(jax.random.key(0), 2)
    with pytest.raises(ValueError, match=r"inside of jax\.jit or jax\.vmap has no tables"):
        jax.vmap(lambda key: save_grammar(tmp_path / "x", draw_random_hierarchy(key, SPEC)))(keys)
    assert not os.listdir(tmp_path)


def test_tables_that_could_not_be_loaded_are_not_saved(tmp_path):
    broken = GRAMMAR.replace(rules=(GRAMMAR.rules[0] * 0, GRAMMAR.rules[1]))
    with pytest.raises(ValueError, match="share 2 tuples"):
        save_grammar(tmp_path / "broken.json", broken)
    assert not os.listdir(tmp_path)


WEIGHTS = [[[0.25, 0.75]] * 3, [[0.1, 0.9]] * 4]


@pytest.mark.parametrize("name", ["grammar.json", "grammar.npz"])
@pytest.mark.parametrize(
    "weights", [{}, {"rule_probabilities": WEIGHTS, "class_prior": [0, 0.5, 0.5]}]
)
def test_a_grammar_comes_back_from_either_file_to_the_bit(tmp_path, name, weights):
    grammar = draw_random_hierarchy(jax.random.key(2), SPEC, **weights)
    save_grammar(tmp_path / name, grammar)
    again = load_grammar(tmp_path / name)
    assert again.spec == SPEC
    chex.assert_trees_all_equal(again, grammar)
    chex.assert_trees_all_equal_dtypes(again, grammar)
    is_zip = (tmp_path / name).read_bytes().startswith(b"PK")
    assert is_zip == name.endswith("npz")


class Trap:
    """What a pickle would execute."""

    def __reduce__(self):
        return os.mkdir, ("trapped",)


def arrays(**changes):
    """The content of an .npz with some arrays changed, or left out where they are None."""
    content = {f"rules_{level}": np.asarray(table) for level, table in enumerate(GRAMMAR.rules)}
    content |= {"vocab_size": np.array(4)} | changes
    return {name: each for name, each in content.items() if each is not None}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (arrays(rules_0=None), "rules_0 is missing, of 1 tables of rules"),
        (arrays(rules_2=np.zeros((4, 2), int)), r"level 2 have shape \(4, 2\)"),
        (arrays(rules_0=np.asarray(GRAMMAR.rules[0])[:, 0]), r"level 0 have shape \(3, 2\)"),
        (arrays(rules_1=np.ones((4, 2, 2))), "level 1 have .* type float64"),
        (arrays(rules_1=np.array([[[Trap()]]])), "no .npz of plain arrays, or damaged .*pickle"),
        (arrays(vocab_size=np.array([4, 4])), r"vocab_size"),
        (
            arrays(vocab_size=np.array(3)),
            "level 1 use symbols 0 to 3, but level 2 has symbols 0 to",
        ),
        (arrays(class_prior=np.ones(2) / 2), r"class_prior has shape \(2,\), .* needs \(3,\)"),
        (arrays(rule_probabilities_0=np.ones((3, 2))), "has 1 tables for depth=2"),
        (arrays(kind=np.array("context-free")), "of kind 'context-free', and here are those of"),
        ({"inputs": np.zeros((5, 4)), "labels": np.zeros(5)}, "and it holds inputs, labels"),
        ({}, "and it holds nothing"),
    ],
)
def test_what_an_npz_lacks_is_named(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.npz"
    np.savez(path, **content)
    with pytest.raises(ValueError, match=rf"bad\.npz is no grammar: .*{words}") as refusal:
        load_grammar(path)
    assert "\n" not in str(refusal.value)
    assert os.listdir(tmp_path) == ["bad.npz"]


def test_a_damaged_npz_is_named(tmp_path):
    path = tmp_path / "bad.npz"
    save_grammar(path, GRAMMAR)
    whole = path.read_bytes()
    damaged = [whole[:size] for size in range(0, len(whole), 37)]
    for place in range(0, len(whole), 61):
        changed = bytearray(whole)
        changed[place] ^= 255
        damaged.append(bytes(changed))
    refusals = []
    for content in [*damaged, b"\x93NUMPY\x01\x00v\x00{", b"text"]:
        path.write_bytes(content)
        try:  # What was changed may say nothing: a date, for instance.
            chex.assert_trees_all_equal(load_grammar(path), GRAMMAR)
        except ValueError as refusal:
            refusals.append(str(refusal))
    assert len(refusals) > 0.8 * len(damaged)
    for words in refusals:
        assert words.startswith(f"{path} is no grammar: ")
        assert "\n" not in words


RULES = [[[[0, 1]], [[1, 0]]]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no JSON"),
        ("[" * 10**5, "no JSON"),
        ("[1", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        ("[]", 'want JSON with the key "rules"'),
        ('{"rules": "ab"}', "a list of one table"),
        ({"rules": [[[0, 1], [1]]]}, "level 0 are no table"),
        ({"rules": [RULES]}, "integers of shape"),
        ({"rules": [[[[0, 0.5]]]]}, "type float64"),
        ({"rules": [[[["a", "b"]]]]}, "type <U1"),
        ({"rules": [[[[0, 2**70]]]]}, "type object"),
        ({"rules": RULES, "vocab_size": 2.5}, "vocab_size=2.5 must be an integer"),
        ({"rules": RULES, "class_prior": {"a": 1}}, "class_prior is no table"),
        ({"rules": RULES, "rule_probabilities": 5}, "no tables for depth=1"),
        ({"rules": RULES, "kind": "brackets"}, "it is of kind 'brackets', and here are those"),
    ],
)
def test_damaged_and_foreign_files_are_named(tmp_path, content, words):
    path = tmp_path / "bad.json"
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"bad\.json is no grammar: .*{words}") as refusal:
        load_grammar(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rules": GRAMMAR.rules[:1]}, "rules has 1 tables for depth=2"),
        ({"rules": (GRAMMAR.rules[0] * 1.0, GRAMMAR.rules[1])}, "level 0 have type float32"),
        ({"rules": GRAMMAR.rules[::-1]}, r"level 0 have shape \(4, 2, 2\)"),
    ],
)
def test_a_grammar_of_other_tables_is_not_sampled(change, words):
    with pytest.raises(ValueError, match=words):
        GRAMMAR.replace(**change).sample(jax.random.key(0), 2)


def test_choices_are_those_that_there_are():
    labels, top, low = jnp.array([0, 2]), jnp.array([[0], [1]]), jnp.array([[0, 1], [1, 0]])
    GRAMMAR.expand(labels, [top, low])
    for words, arguments in (
        ("labels are from 1 to 3, but must be from 0 to 2", (labels + 1, [top, low])),
        ("choices of level 1 are from 1 to 2", (labels, [top, low + 1])),
        (
            r"choices of level 0 have shape \(2,\), but must have \(2, 1\)",
            (labels, [top[:, 0], low]),
        ),
        ("type float32, but must count rules", (labels, [top * 1.0, low])),
    ):
        with pytest.raises(ValueError, match=words):
            GRAMMAR.expand(*arguments)
    with pytest.raises(ValueError, match="n=-1 must be at least 0"):
        GRAMMAR.sample(jax.random.key(0), -1)
    with pytest.raises(ValueError, match="level 0 are no table"):
        from_rules([[[0, 1], [1]]])

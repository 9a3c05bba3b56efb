import errno
import json
import os

import jax
import jax.numpy as jnp
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

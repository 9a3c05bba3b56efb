import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.exact import chart_likelihood
from hierjax.tasks import (
    LAYERED,
    layered_grammar,
    load_grammar,
    parse_context_free,
    read_context_free,
    write_context_free,
)
from tests.tasks.context_free_texts import ARITHMETIC


def probability(grammar, string):
    tokens = [grammar.spec.terminals.index(f"'{token}'") for token in string.split()]
    return np.exp(chart_likelihood(grammar, np.array([tokens]))[0])


def test_a_file_is_read_as_it_looks(tmp_path):
    path = tmp_path / "grammar.txt"
    path.write_text(ARITHMETIC)
    grammar = read_context_free(path, 20)
    assert grammar.spec.symbols == ("S", "E", "T", "F", "A")
    assert grammar.spec.terminals == tuple(f"'{each}'" for each in "=!+*()xy-")
    assert probability(grammar, "x + y") == pytest.approx(
        0.7 * 0.3 * (0.7 * 0.75 * 0.8 * 0.6) * (0.75 * 0.8 * 0.3), rel=1e-5
    )


@pytest.mark.parametrize(
    ("text", "string", "expected"),
    [
        ("S -> 'a' | 'b' | 'c'", "b", 1 / 3),
        ("S -> 'a' [0.2]\n\n# a comment\nS -> 'b' [8e-1]  # and more", "a", 0.2),
        ("S -> '|' '#' [.5] | '#' [.5] # here", "| #", 0.5),
        ("S->A'b'\nA->'a'", "a b", 1.0),
        ("# it's one\nS -> '#' # don't stop | here", "#", 1.0),
    ],
)
def test_lines_may_be_written_in_several_ways(text, string, expected):
    assert probability(parse_context_free(text, 9), string) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("S -> 'a'\nS = 'b'", "line 2, .*, is no rule: want one like A -> B 'c'"),
        ("S B -> 'a'", "line 1, .*, is no rule: want one like"),
        ("'a' -> 'b'", "line 1, .*, is no rule: want one like"),
        ("S -> 'a' [much]", r"line 1, .*: \[much\] is no probability"),
        ("S -> 'a", "line 1, .*: .* are no symbols; terminals stand in quotes"),
        ("S -> 'a' |", "line 1, .*: it makes nothing"),
        ("S -> [1]", "line 1, .*: it makes nothing"),
        ("S -> 'a' [.5] | 'b'", "1 of 2 rules of S have no probability"),
        ("S -> 'a' [.5] | 'b' [.4]", "the rules of S have probabilities that sum to 0.9, not 1"),
        ("S -> 'a' [nan]", "S has a rule of probability nan"),
        ("", "there are no rules"),
    ],
)
def test_what_is_no_grammar_is_refused_in_a_sentence(text, words):
    with pytest.raises(ValueError, match=words) as refusal:
        parse_context_free(text, 9)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["arithmetic", "cfg3f", "zeros"])
def test_what_is_written_is_read_again(name, tmp_path):
    texts = {"arithmetic": ARITHMETIC, "zeros": "S -> 'a' [0] | 'b' S [.001] | '|' '#' [.999]"}
    if name in texts:
        grammar = parse_context_free(texts[name], 12)
    else:
        grammar = layered_grammar(
            jax.random.key(3), dataclasses.replace(LAYERED[name], num_levels=4)
        )
    path = tmp_path / "grammar.txt"
    write_context_free(path, grammar)
    found = read_context_free(path, grammar.spec.max_length)
    assert found.spec.share == pytest.approx(grammar.spec.share, rel=1e-6)
    assert dataclasses.replace(found.spec, share=grammar.spec.share) == grammar.spec
    np.testing.assert_array_equal(found.children, grammar.children)
    np.testing.assert_allclose(found.bounds, grammar.bounds, rtol=0, atol=1e-7)
    for own, other in zip(jax.tree.leaves(found.form), jax.tree.leaves(grammar.form), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-6)


def test_a_batch_of_grammars_is_not_written(tmp_path):
    grammar = parse_context_free(ARITHMETIC, 12)
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), grammar)
    with pytest.raises(ValueError, match="grammars of a batch"):
        write_context_free(tmp_path / "grammar.txt", batch)
    assert not any(tmp_path.iterdir())


def test_files_of_other_grammars_are_named(tmp_path):
    text, tables, other = (tmp_path / name for name in ("a.txt", "b.json", "c.bin"))
    text.write_text(ARITHMETIC)
    with pytest.raises(ValueError, match=r"a.txt is no grammar: it is no JSON"):
        load_grammar(text)
    tables.write_text('{"rules": [[[[0]]]]}')
    with pytest.raises(ValueError, match=r"b.json is no context-free grammar: line 1"):
        read_context_free(tables, 9)
    tables.write_text('{"rules": [[' + "0, " * 9999 + "]]}")
    with pytest.raises(ValueError, match="is no rule") as refusal:
        read_context_free(tables, 9)
    assert len(str(refusal.value)) < 300
    other.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"c.bin is no context-free grammar"):
        read_context_free(other, 9)
    with pytest.raises(OSError, match="No such file"):
        read_context_free(tmp_path / "none.txt", 9)

import chex
import jax
import numpy as np
import pytest

from hierjax.exact import parse
from hierjax.tasks import from_rule_dictionary, from_rules

pytestmark = pytest.mark.usefixtures("untyped")

# Two classes, three symbols, two rules each, pairs: root first, symbols from 0.
PUBLISHED = {
    0: np.array([[[0, 1], [2, 2]], [[1, 0], [0, 2]]]),
    1: np.array([[[0, 0], [1, 2]], [[2, 0], [0, 1]], [[1, 1], [2, 1]]]),
}


def expanded(rules):
    """All strings that a dictionary makes of each class, by hand."""
    strings = set()
    for label, pairs in enumerate(rules[0]):
        for left, right in pairs:
            for first in rules[1][left]:
                for second in rules[1][right]:
                    strings.add((label, *first.tolist(), *second.tolist()))
    return strings


@pytest.mark.parametrize("first_symbol", [0, 1])
def test_a_dictionary_of_published_form_is_read_sampled_and_parsed(first_symbol):
    given = {level: table + first_symbol for level, table in PUBLISHED.items()}
    grammar = from_rule_dictionary(given, first_symbol, vocab_size=3)
    batch = grammar.sample(jax.random.key(0), 400)
    found = np.concatenate([np.asarray(batch.labels)[:, None], np.asarray(batch.inputs)], axis=1)
    assert set(map(tuple, found.tolist())) == expanded(PUBLISHED)
    assert len(expanded(PUBLISHED)) == grammar.num_strings == 16
    chex.assert_trees_all_equal(grammar, from_rules([PUBLISHED[0], PUBLISHED[1]]))


def test_every_string_of_it_has_its_derivation():
    grammar = from_rule_dictionary(PUBLISHED, 0)
    batch = grammar.sample(jax.random.key(1), 100)
    parsed = parse(grammar, batch.inputs)
    assert parsed.possible.all()
    chex.assert_trees_all_equal(parsed.levels, batch.latents)
    assert not parse(grammar, np.array([[0, 0, 0, 0]], np.uint8)).possible.any()


class Tensor:
    """What a library keeps where numpy cannot read it, such as a GPU."""

    def __array__(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


@pytest.mark.parametrize(
    ("rules", "first_symbol", "words"),
    [
        (PUBLISHED, None, "first_symbol=None must be 0 or 1"),
        (PUBLISHED, True, "first_symbol=True must be 0 or 1"),
        (PUBLISHED, 2, "first_symbol=2 must be 0 or 1"),
        (PUBLISHED, 1, "level 0 use the symbol 0, but symbols are said to begin with 1"),
        ({1: PUBLISHED[0], 2: PUBLISHED[1]}, 0, "have the levels 1, 2, but must have 0, the root"),
        ({0: PUBLISHED[0], 2: PUBLISHED[1]}, 0, "have the levels 0, 2, but must have 0"),
        ({"0": PUBLISHED[0]}, 0, "have the levels '0', but must have 0"),
        ({}, 0, "rules is empty"),
        ([PUBLISHED[0]], 0, "type list, but must be a dictionary .* use from_rules"),
        ({0: PUBLISHED[0][0], 1: PUBLISHED[1]}, 0, r"level 0 have shape \(2, 2\)"),
        ({0: PUBLISHED[1], 1: PUBLISHED[0]}, 0, "level 0 needs 3 symbols"),
        ({0: PUBLISHED[0] + 1, 1: PUBLISHED[1]}, 0, "level 0 use symbols 1 to 3, but level 1 has"),
        ({0: PUBLISHED[0] / 1, 1: PUBLISHED[1]}, 0, "level 0 have .* type float64"),
        ({0: [[[0, 1], [2]]]}, 0, "rules of level 0 are no table"),
        ({0: Tensor()}, 0, "rules of level 0 are no table: can't convert cuda"),
    ],
)
def test_what_is_no_dictionary_of_rules_is_named(rules, first_symbol, words):
    with pytest.raises(ValueError, match=words) as refusal:
        from_rule_dictionary(rules, first_symbol)
    assert "\n" not in str(refusal.value)

import jax
import numpy as np
import pytest
from scipy import stats

from hierjax.tasks import NOT_ASKED, DyckSpec, bounded_dyck
from tests.tasks.laws import check_task_laws

SPEC = DyckSpec(num_kinds=2, max_depth=2, end_probability=0.3, min_length=4, max_length=9)
LONG = bounded_dyck(DyckSpec(num_kinds=3, max_depth=4, end_probability=0.1, max_length=60))
NUM = 4000


def all_strings(spec, stack=(), so_far=(), weight=1.0):
    """Every string of a length in range, with its probability before conditioning."""
    if len(so_far) == spec.max_length:
        return
    if not stack and len(so_far) + 1 >= spec.min_length:
        yield (*so_far, spec.end), weight * spec.end_probability
    goes_on = weight * (1 if stack else 1 - spec.end_probability)
    opens = 1 if not stack else 0 if len(stack) == spec.max_depth else 0.5
    for kind in range(spec.num_kinds) if opens else ():
        opened, share = (*so_far, kind), goes_on * opens / spec.num_kinds
        yield from all_strings(spec, (*stack, kind), opened, share)
    if stack:
        closed = (*so_far, spec.num_kinds + stack[-1])
        yield from all_strings(spec, stack[:-1], closed, goes_on * (1 - opens))


@pytest.fixture(scope="module")
def enumerated():
    """All strings (S, T), filled with the end, their probabilities (S,), and lengths (S,)."""
    strings, weights = zip(*all_strings(SPEC), strict=True)
    filled = [each + (SPEC.end,) * (SPEC.max_length - len(each)) for each in strings]
    return np.array(filled), np.array(weights) / sum(weights), np.array([*map(len, strings)])


@pytest.fixture(scope="module")
def sampled():
    return LONG.sample(jax.random.key(0), NUM)


def stacks(string, num_kinds, max_depth):
    """The stack of (kind, position) before each token, by hand; asserts that all is well nested."""
    stack, before = [], []
    for place, symbol in enumerate(string):
        before.append(tuple(stack))
        if symbol < num_kinds:
            stack.append((symbol, place))
            assert len(stack) <= max_depth
        elif symbol < 2 * num_kinds:
            assert stack.pop()[0] == symbol - num_kinds
        else:
            assert not stack
    return before


def test_dyck_languages_obey_the_laws_of_tasks():
    # Such a language is not drawn: strings alone depend on the key.
    check_task_laws(lambda key: bounded_dyck(SPEC))


def test_conditionals_and_entropy_are_those_of_all_strings(enumerated):
    strings, probabilities, lengths = enumerated
    with jax.enable_x64(True):
        language = bounded_dyck(SPEC)
        law = np.asarray(language.next_probabilities(strings))
        entropy, mean_length = float(language.entropy()), float(language.mean_length())
    for place in range(SPEC.max_length):
        _, same = np.unique(strings[:, :place], axis=0, return_inverse=True)
        joint = np.zeros((same.max() + 1, SPEC.num_symbols))
        np.add.at(joint, (same, strings[:, place]), probabilities)
        expected = joint / joint.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(law[:, place], expected[same], atol=1e-10)
    own = np.take_along_axis(law, strings[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(own.prod(axis=1), probabilities, atol=1e-10)
    np.testing.assert_allclose(entropy, -probabilities @ np.log(probabilities), atol=1e-10)
    np.testing.assert_allclose(mean_length, probabilities @ lengths, atol=1e-10)


def test_strings_are_drawn_with_their_probabilities(enumerated):
    strings, probabilities, lengths = enumerated
    batch = bounded_dyck(SPEC).sample(jax.random.key(1), 20_000)
    rows = {tuple(string): row for row, string in enumerate(strings)}
    drawn = np.array([rows[tuple(string)] for string in np.asarray(batch.inputs)])
    np.testing.assert_array_equal(batch.labels, lengths[drawn])
    counts = np.bincount(drawn, minlength=len(strings))
    common = probabilities * len(drawn) > 30
    observed, expected = (
        np.append(each[common], each[~common].sum()) for each in (counts, probabilities * 20_000)
    )
    assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_strings_are_well_nested_bounded_and_as_long_as_they_say(sampled):
    spec, lengths = LONG.spec, np.asarray(sampled.labels)
    strings = np.asarray(sampled.inputs)
    depth, kind, opened = map(np.asarray, sampled.latents)
    assert depth.max() == spec.max_depth
    for row in range(200):
        before = stacks(strings[row], spec.num_kinds, spec.max_depth)
        np.testing.assert_array_equal(depth[row], [len(stack) for stack in before])
        tops = [stack[-1] if stack else (-1, -1) for stack in before]
        np.testing.assert_array_equal(np.stack([kind[row], opened[row]], axis=1), tops)
        assert strings[row].tolist().index(spec.end) == lengths[row] - 1
    ends = strings == spec.end
    np.testing.assert_array_equal(ends, np.arange(spec.max_length) >= lengths[:, None] - 1)


def test_strings_tell_their_nesting(sampled):
    found = LONG.nesting(sampled.inputs)
    np.testing.assert_array_equal((found.depth, found.kind, found.opened), sampled.latents)


def test_entropy_is_the_mean_of_what_strings_cost(sampled):
    own = np.take_along_axis(
        LONG.next_probabilities(sampled.inputs), np.asarray(sampled.inputs)[..., None], axis=-1
    )
    costs = -np.log(own).sum(axis=(1, 2))
    assert abs(costs.mean() - LONG.entropy()) < 4 * costs.std() / NUM**0.5
    lengths = np.asarray(sampled.labels)
    assert abs(lengths.mean() - LONG.mean_length()) < 4 * lengths.std() / NUM**0.5


def test_long_strings_are_conditioned_on_their_lengths_alone():
    """Of those of a wider range, the ones that are long enough have the same law."""
    wide = bounded_dyck(DyckSpec(2, 3, 0.2, 1, 31)).sample(jax.random.key(2), 20_000)
    narrow = bounded_dyck(DyckSpec(2, 3, 0.2, 12, 31)).sample(jax.random.key(3), 20_000)
    depths = [np.asarray(each.latents[0])[np.asarray(each.labels) >= 12] for each in (wide, narrow)]
    assert len(depths[1]) == 20_000
    counts = [[np.bincount(each[:, t], minlength=4)[t % 2 :: 2] for each in depths] for t in (3, 8)]
    for table in counts:
        assert stats.chi2_contingency(np.array(table)).pvalue > 1e-4


def test_all_tokens_are_asked_for_up_to_the_end(sampled):
    inputs, targets = LONG.next_token(sampled)
    lengths, symbols = np.asarray(sampled.labels), LONG.spec.num_symbols
    asked = np.asarray(targets) != NOT_ASKED
    np.testing.assert_array_equal(asked.sum(axis=1), lengths)
    np.testing.assert_array_equal(np.asarray(targets)[asked], np.asarray(sampled.inputs)[asked])
    np.testing.assert_array_equal(inputs[:, 0], symbols)
    np.testing.assert_array_equal(inputs[:, 1:], sampled.inputs[:, :-1])


def test_prefixes_that_no_string_has_leave_nothing_to_say():
    """Closing what is not open, or of another kind; ending inside; going on; too deep."""
    language = bounded_dyck(DyckSpec(num_kinds=2, max_depth=2, max_length=9))
    wrong = np.array([[2, 0, 4], [0, 3, 4], [0, 4, 4], [4, 0, 2], [0, 1, 0]])
    law = language.next_probabilities(np.pad(wrong, ((0, 0), (0, 1)), constant_values=4))
    assert np.isnan(law[:, -1]).all()
    assert np.isfinite(law[:, 0]).all()


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"num_kinds": 0}, "num_kinds=0 must be from 1"),
        ({"max_depth": 0}, "max_depth=0 must be from 1"),
        ({"end_probability": 0.0}, "end_probability=0.0 must be above 0"),
        ({"min_length": 9, "max_length": 8}, "min_length=9 and max_length=8 must ascend"),
        ({"min_length": 8, "max_length": 8}, "no string has min_length=8 to max_length=8"),
        ({"end_probability": 1.0, "min_length": 2}, "no string has min_length=2"),
    ],
)
def test_impossible_sizes_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        DyckSpec(**({"num_kinds": 2, "max_depth": 2} | sizes))


def test_strings_of_another_language_are_refused():
    with pytest.raises(ValueError, match=r"strings have 61 positions, but .* max_length=60"):
        LONG.next_probabilities(np.full((1, 61), 6))
    with pytest.raises(ValueError, match=r"strings are from 7 to 7, .* from 0 to 6"):
        LONG.nesting(np.full((1, 60), 7))

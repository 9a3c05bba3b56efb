"""The rule of `hierjax.checks`, and that every room keeps it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hierjax import checks, measure, models, tasks, theory, train

pytestmark = pytest.mark.usefixtures("untyped")

SCORES = jnp.eye(4)[jnp.array([0, 1, 2, 3, 0])]
CLASSES = jnp.array([0, 1, 2, 3, 0], jnp.uint8)
SIGNS = jnp.array([[1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
NAN = jnp.nan


def refuses(words, function, *arguments):
    """One sentence that holds the words."""
    with pytest.raises(ValueError, match=words) as refusal:
        function(*arguments)
    assert "\n" not in str(refusal.value)


BAD_CLASSES = {
    "a column": (CLASSES[:, None], r"labels have shape \(5, 1\), but must have \(5,\)"),
    "one-hot": (SCORES, r"shape \(5, 4\).* of one-hot labels their argmax"),
    "too few": (CLASSES[:3], r"shape \(3,\), but must have \(5,\)"),
    "floats": (CLASSES * 1.0, "type float32, but must count classes: give integers"),
    "booleans": (CLASSES > 1, "type bool"),
    "from 1": (CLASSES + 1, "from 1 to 4, but must be from 0 to 3: .* allow for 5 classes"),
    "negative": (CLASSES.astype(int) - 1, "from -1 to 2, but must be from 0 to 3: count classes"),
    "a list": (CLASSES.tolist(), "of type list, but must be an array"),
    "words": (np.array(["a"] * 5), "must count classes"),
}


@pytest.mark.parametrize("case", BAD_CLASSES)
def test_labels_that_are_no_classes_are_refused(case):
    labels, words = BAD_CLASSES[case]
    for function in (*train.CROSS_ENTROPY, measure.error_rate, measure.squared_loss):
        refuses(words, function, SCORES, labels)


@pytest.mark.parametrize("case", ["a column", "one-hot", "too few", "floats", "booleans"])
def test_shapes_and_types_are_seen_while_tracing(case):
    labels, words = BAD_CLASSES[case]
    for function in (*train.CROSS_ENTROPY, measure.error_rate, measure.squared_loss):
        refuses(words, jax.jit(function), SCORES, labels)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (SCORES[:, 0], r"for scores \(N, C\), here \(5,\)"),
        (SCORES > 0, "scores have type bool, but must be real numbers"),
        (SCORES[:, :0], "at least 1 example and 1 score"),
    ],
)
def test_scores_of_another_form_are_refused(scores, words):
    refuses(words, measure.error_rate, scores, CLASSES)


def test_scores_may_be_counts_of_votes():
    assert measure.error_rate(SCORES.astype(int), CLASSES) == 0


def test_no_examples_have_no_error():
    refuses("at least 1 example", measure.error_rate, SCORES[:0], CLASSES[:0])


@pytest.mark.parametrize("bad", [NAN, jnp.inf, -jnp.inf])
def test_scores_that_are_not_finite_are_mistakes(bad):
    """The one of class 0 would be right by argmax."""
    scores = SCORES.at[0].set(bad).at[1, 3].set(bad)
    np.testing.assert_allclose(measure.error_rate(scores, CLASSES), 0.4)
    np.testing.assert_array_equal(train.CROSS_ENTROPY.mistakes(scores, CLASSES), [1, 1, 0, 0, 0])
    loss = train.label_loss("hinge")
    signs = jnp.full((2, 2), -1.0)
    np.testing.assert_array_equal(loss.mistakes(signs.at[0, 0].set(bad), signs), [0.5, 0])


@pytest.mark.parametrize("label", [-1, 4, 2**20])
def test_a_class_out_of_range_is_nan_inside_of_jit_with_its_gradient(label):
    labels = CLASSES.astype(int).at[2].set(label)
    losses = jax.jit(train.CROSS_ENTROPY.per_example)(SCORES, labels)
    np.testing.assert_array_equal(jnp.isnan(losses), np.arange(5) == 2)
    slope = jax.jit(jax.grad(lambda *each: train.CROSS_ENTROPY.per_example(*each).sum()))
    slope = slope(SCORES, labels)
    assert jnp.isnan(slope[2]).all()
    assert jnp.isfinite(slope[:2]).all()
    assert jnp.isnan(jax.jit(measure.squared_loss)(SCORES, labels))


@given(
    st.integers(1, 300),
    st.sampled_from(["int8", "uint8", "int16", "int32", "uint32"]),
    st.lists(st.integers(-5, 400), min_size=1, max_size=6),
)
def test_indicators_are_exact_for_every_type_and_bound(bound, dtype, values):
    """Comparing int8 with a bound of 300 would wrap around."""
    info = np.iinfo(dtype)
    values = np.clip(values, info.min, info.max).astype(dtype)
    inside = (values.astype(int) >= 0) & (values.astype(int) < bound)
    expected = values[:, None].astype(int) == np.arange(bound)[None]
    expected = np.where(inside[:, None], expected, np.nan)
    hot = jax.vmap(lambda value: checks.one_hot(value, bound))(values)
    np.testing.assert_array_equal(hot, expected)
    if not inside.all():
        refuses(f"must be from 0 to {bound - 1}", checks.one_hot, values, bound)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (SIGNS[:, 0], r"labels have shape \(3,\), but must have \(3, 2\)"),
        (SIGNS[:2], r"shape \(2, 2\)"),
        (SIGNS > 0, "type bool"),
        ((SIGNS + 1) / 2, r"such as 0.0, but must be -1 or 1: .* 2 \* labels - 1"),
        (SIGNS.at[0, 0].set(NAN), "1 values that are not finite"),
    ],
)
def test_labels_that_are_no_signs_are_refused(labels, words):
    batch = tasks.Batch(SIGNS, labels, (SIGNS, SIGNS))
    refuses(words, train.label_loss("hinge").per_example, SIGNS, labels)
    refuses(words, measure.label_report, SIGNS, batch)


def test_signs_may_be_whole_numbers():
    loss = train.label_loss("square").per_example
    np.testing.assert_array_equal(loss(SIGNS, SIGNS.astype(jnp.int8)), loss(SIGNS, SIGNS))


def test_label_losses_know_how_many_labels_there_are():
    refuses("choose one of square", train.label_loss, "squared")
    refuses("last=0 must be at least 1", train.label_loss, "hinge", 0)
    refuses("last=3 must be at most 2", train.label_loss("hinge", 3).mistakes, SIGNS, SIGNS)


def test_values_of_another_form_are_refused():
    values, labels = jnp.ones((5, 1)), jnp.ones(5)
    loss = train.SQUARED.per_example
    refuses(
        r"labels have shape \(5, 1\), but must have \(5,\): .* labels\[:, 0\]", loss, values, values
    )
    refuses(r"scores have shape \(5, 3\), but must have \(..., 1\)", loss, jnp.ones((5, 3)), labels)
    refuses("type bool, but must be real numbers", loss, values, labels > 0)
    refuses("1 values that are not finite", loss, values, labels.at[2].set(NAN))


def test_integers_make_the_kernels_that_floats_make():
    """Squares and products of int8 overflow at 128."""
    points = jax.random.randint(jax.random.key(0), (6, 5), -100, 100).astype(jnp.int8)
    exact = np.asarray(points, np.float64)
    kernels = jax.jit(
        lambda points, **network: theory.fully_connected_kernels(points, points, **network),
        static_argnames=("activation", "depth"),
    )
    for kernel in ("relu", "erf", "cosine"):
        small = kernels(points, activation=kernel)
        large = kernels(jnp.float32(exact), activation=kernel)
        np.testing.assert_array_equal(small.ntk, large.ntk)
    linear = kernels(points, depth=0).nngp
    np.testing.assert_allclose(linear, exact @ exact.T / 5, rtol=1e-5)
    gram = train.radial_kernels(("rbf",), (1.0,))[0].gram(points, points, jnp.float32(100))
    distances = ((exact[:, None] - exact[None]) ** 2).sum(-1)
    np.testing.assert_allclose(gram, np.exp(-distances / 2e4), atol=1e-5)
    targets = jnp.ones((6, 1))
    small, large = (train.ridge(each, targets, 0.1) for each in (points, points * 1.0))
    np.testing.assert_array_equal(small, large)


@pytest.mark.parametrize(
    ("inputs", "others", "words"),
    [
        (SIGNS[0], SIGNS, r"inputs have shape \(2,\), but must have \(any, any\)"),
        (SIGNS, SIGNS[:, :1], r"others have shape \(3, 1\), but must have \(any, 2\)"),
        (SIGNS > 0, SIGNS, "type bool"),
        (SIGNS * NAN, SIGNS, "6 values that are not finite"),
    ],
)
def test_points_without_a_kernel_are_refused(inputs, others, words):
    refuses(words, theory.fully_connected_kernels, inputs, others)


def test_embeddings_and_symbols_go_together():
    for function in (measure.separation, measure.symbol_plane):
        refuses("symbols are from 1 to 4", function, SCORES, CLASSES + 1, 4)
        refuses(r"symbols have shape \(3,\)", function, SCORES, CLASSES[:3], 4)
        refuses("type float32", function, SCORES, CLASSES * 1.0, 4)
    separation = jax.jit(lambda *each: measure.separation(*each, 4))
    assert jnp.isnan(separation(SCORES.at[0, 0].set(NAN), CLASSES).purity)
    unseen = separation(SCORES, CLASSES + 1)
    assert jnp.isnan(jnp.stack(jax.tree.leaves(unseen))).all()


def test_a_report_of_a_layer_is_of_its_level():
    batch = tasks.Batch(CLASSES[:, None], CLASSES, (CLASSES[:, None], jnp.stack([CLASSES] * 2, 1)))
    embeddings = jnp.stack([SCORES] * 2, 1)
    assert measure.layer_report(SCORES, embeddings, batch, 1, 4).test_error == 0
    for level, shape, words in (
        (-1, (5, 2, 4), "level=-1 must be from 0 to 1"),
        (1, (5, 4, 2), r"embeddings have shape \(5, 4, 2\), but must have \(5, 2, any\)"),
        (1, (5, 8), "level 1 has 2 nodes"),
    ):
        other = embeddings.reshape(shape)
        refuses(words, measure.layer_report, SCORES, other, batch, level, 4)


@pytest.mark.parametrize(
    ("words", "function", "arguments"),
    [
        ("values is empty", measure.spread, [[]]),
        (r"values have shape \(1, 2\)", measure.spread, [[[1, 2]]]),
        ("steps=.* must ascend", measure.climb, [np.zeros((1, 2, 1)), np.array([5, 3]), 0.5]),
        (r"steps have shape \(1,\)", measure.climb, [np.zeros((1, 2, 1)), np.array([5]), 0.5]),
        ("sizes=.* that ascend", measure.crossing, [[2, 1], [0.1, 0.2], 0.5]),
        (r"errors have shape \(3,\)", measure.crossing, [[1, 2], [0.1, 0.2, 0.3], 0.5]),
        ("level=nan", measure.crossing, [[1, 2], [0.1, 0.2], np.nan]),
        (r"of one seed errors\[:, None\]", measure.threshold, [[1, 2], np.ones(2), 0.5]),
        ("1 scales, 1 lists of sizes and 0", measure.power_law, [[1.0], [[1, 2]], [], 0.5]),
        ("scales=.* positive", measure.power_law, [[0.0], [[1]], [np.ones((1, 1))], 0.5]),
        ("votes=4 must be an odd", theory.vote_weight, [4]),
        ("members are from 1 to 3", theory.vote_coefficients, [np.array([[1, 3]]), SIGNS[:1], 3]),
        ("a gate twice", theory.vote_coefficients, [np.array([[1, 1]]), SIGNS[:1], 3]),
        (r"labels have shape \(2, 2\)", theory.estimate_vote_coefficients, [SIGNS, SIGNS[:2]]),
        ("kind='hermit' is unknown", tasks.zonal_coefficients, ["hermit", 3, 2]),
        ("members from 0 to 1", tasks.fourier_basis, [SIGNS, ((2,),)]),
        (r"values have shape \(3, 2\)", tasks.fourier_coefficients, [SIGNS, SIGNS, ((0,),)]),
        ("type float32, but rows int8", tasks.contains, [SIGNS.astype(jnp.int8), SIGNS]),
        (r"candidates have shape \(3, 1\)", tasks.contains, [SIGNS, SIGNS[:, :1]]),
        ("num_train=10.5 must be an integer", tasks.check_split, [100, 10.5, 1]),
        ("bandwidths=.* positive", train.radial_kernels, [("rbf",), (0.0,)]),
        ("not all known", train.radial_kernels, [("rbg",), (1.0,)]),
        ("3 inputs and 2 labels", train.ridge, [SIGNS, SIGNS[:2], 0.1]),
        ("length 3 must be cut", models.TupleCodes(4, 2).apply, [{}, jnp.zeros((5, 3), int)]),
        ("from 0 to 4, but must be from 0 to 3", models.one_hot_strings, [jnp.arange(5)[None], 4]),
    ],
)
def test_what_else_is_refused(words, function, arguments):
    refuses(words, function, *arguments)

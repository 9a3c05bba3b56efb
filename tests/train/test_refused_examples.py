"""Every learner refuses examples that it would read wrongly, or fits nothing that could pass."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from hierjax.models import ConvStack, ResidualStack
from hierjax.tasks import Batch, RandomHierarchySpec, draw_random_hierarchy
from hierjax.train import (
    SQUARED,
    BestOf,
    BlockConfig,
    Descent,
    KernelRidge,
    Network,
    RepresentationLayer,
    TaylorLayer,
    class_scores,
    forward,
    kernel_learner,
    patch_layers,
    radial_kernels,
    residual_layers,
    train_layerwise,
)

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(0)
SPEC = RandomHierarchySpec(4, 4, 2, 2, 2)
BATCH = draw_random_hierarchy(KEY, SPEC).sample(KEY, 48)
INPUTS, LABELS = BATCH.inputs, BATCH.labels
DESCENT = Descent(optax.adam, (0.05,), 5, 8)
POINTS = jax.random.normal(KEY, (16, 3))
VALUES = POINTS[:, 0]
SIGNS = jnp.where(POINTS > 0, 1.0, -1.0)


class Three(nn.Module):
    """Three outputs, for four classes."""

    @nn.compact
    def __call__(self, tokens):
        return nn.Dense(3)(tokens.astype(jnp.float32))


LINEAR = (Network(nn.Dense(1), DESCENT, loss=SQUARED),)
CONV = (Network(ConvStack((2, 2), 4, 4, 4), DESCENT),)
RADIAL = radial_kernels(("rbf",), (1.0,))
REGRESSION = (KernelRidge(lambda x: x, lambda y: y[:, None], SQUARED, RADIAL),)
FLAT = (KernelRidge(lambda x: x, lambda y: y, SQUARED, RADIAL),)
TAYLOR = (TaylorLayer(nn.Dense(1), DESCENT),)
BLOCKS = residual_layers(ResidualStack(3, 1, 4), BlockConfig(solver="ridge", loss="square"))
STEPS = residual_layers(ResidualStack(3, 1, 4), BlockConfig())
ALL_LABELS = residual_layers(ResidualStack(3, 1, 4), BlockConfig(accept="all"))
REPRESENTATION = (RepresentationLayer(8, 4),)
STRINGS = {"layers": patch_layers(SPEC), "network": CONV, "kernel": kernel_learner(SPEC)}


@functools.partial(jax.jit, static_argnames="name")
def train_strings(name, batch):
    return train_layerwise(STRINGS[name], batch, KEY)


def refuses(words, layers, inputs, labels):
    """One sentence that holds the words."""
    with pytest.raises(ValueError, match=words) as refusal:
        train_layerwise(layers, Batch(inputs, labels, ()), KEY)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", STRINGS)
@pytest.mark.parametrize(
    ("inputs", "labels", "words"),
    [
        (INPUTS, LABELS + 1, "labels are from 1 to 4, but must be from 0 to 3"),
        (INPUTS, LABELS * 1.0, "labels have type float32"),
        (INPUTS, LABELS > 1, "labels have type bool"),
        (INPUTS, LABELS[:9], "48 inputs and 9 labels"),
        (INPUTS[:0], LABELS[:0], "give at least 1 example"),
        (INPUTS + 1, LABELS, "inputs are from 1 to 4, but must be from 0 to 3: count symbols"),
        (INPUTS * 1.0, LABELS, "inputs have type float32, but must count symbols"),
        (INPUTS, LABELS[:, None], r"labels have shape \(48, 1\)"),
    ],
)
def test_strings_and_classes(name, inputs, labels, words):
    if name == "kernel" and labels.ndim == 2:
        words = r"encoded labels have shape \(48, 1, 4\), but must have \(48, any\)"
    refuses(words, STRINGS[name], inputs, labels)


@pytest.mark.parametrize("shift", [(1, 0), (0, 1)])
def test_inside_of_jit_symbols_and_classes_out_of_range_leave_no_learner(shift):
    for name in ("layers", "network"):
        batch = Batch(INPUTS + shift[0], LABELS + shift[1], ())
        params = train_strings(name, batch)
        scores = class_scores(STRINGS[name], params, INPUTS)
        assert jnp.isnan(scores).all()


def test_strings_out_of_range_have_no_scores():
    layers = STRINGS["layers"]
    params = train_strings("layers", Batch(INPUTS, LABELS, ()))
    scores = jax.jit(lambda inputs: forward(layers, params, inputs))(INPUTS.at[3, 2].set(4))
    np.testing.assert_array_equal(jnp.isnan(scores).all(axis=1), np.arange(48) == 3)
    for inputs, words in (
        (INPUTS + 1, "from 1 to 4, but must be from 0 to 3"),
        (jnp.tile(INPUTS, (1, 2)), "more than the one patch of 2"),
        (INPUTS[:, :3], "inputs of length 3 must be cut into patches of 2"),
    ):
        with pytest.raises(ValueError, match=words):
            forward(layers, params, inputs)
    with pytest.raises(ValueError, match="params has 4 entries, but must have from 0 to 2"):
        forward(layers, params * 2, INPUTS)
    with pytest.raises(ValueError, match="params has 0 entries, but must have from 1 to 2"):
        class_scores(layers, (), INPUTS)


def test_fewer_outputs_than_classes():
    layers = (Network(Three(), DESCENT),)
    refuses("must be from 0 to 2: .* allow for 4 classes", layers, INPUTS, LABELS)


@pytest.mark.parametrize(
    ("layers", "inputs", "labels", "words"),
    [
        (LINEAR, POINTS, VALUES[:, None], r"labels have shape \(16, 1\), but must have \(16,\)"),
        (TAYLOR, POINTS, VALUES[:, None], r"labels have shape \(16, 1\), but must have \(any,\)"),
        (REGRESSION, POINTS, VALUES[:, None], r"encoded labels have shape \(16, 1, 1\)"),
        (FLAT, POINTS, VALUES, r"encoded labels have shape \(16,\), but must have \(16, any\)"),
        (FLAT, POINTS, VALUES[:, None], r"labels have shape \(16, 1\), but must have \(16,\)"),
        (REGRESSION, POINTS[..., None], VALUES, r"embedded inputs have shape \(16, 3, 1\)"),
        (LINEAR, POINTS, VALUES.at[0].set(jnp.nan), "labels have 1 values that are not finite"),
        (LINEAR, POINTS.at[0].set(jnp.inf), VALUES, "inputs have 3 values that are not finite"),
        (REGRESSION, POINTS[:1], VALUES[:1], "1 train example leaves none .* at least 2"),
        (REPRESENTATION, POINTS[..., None], VALUES, r"inputs have shape \(16, 3, 1\)"),
        (BLOCKS, POINTS, (SIGNS + 1) / 2, "such as 0.0, but must be -1 or 1"),
        (STEPS, POINTS, SIGNS > 0, "labels have type bool"),
        (BLOCKS, POINTS, SIGNS.reshape(8, 2, 3), "16 inputs and 8 labels"),
        (STEPS, POINTS, jnp.tile(SIGNS, (1, 2)), r"\(16, 6\), but must have \(16, 3\)"),
        (ALL_LABELS, POINTS[:1], SIGNS[:1], "1 train row tells no learning rate"),
        (BLOCKS, POINTS[:, None], SIGNS, r"inputs have shape \(16, 1, 3\)"),
    ],
)
def test_values_and_signs(layers, inputs, labels, words):
    refuses(words, layers, inputs, labels)


def test_kernels_that_cannot_be_chosen_between():
    for words, changes in (
        ("ridges=", {"ridges": ()}),
        ("most_tried=1 must be at least 2", {"most_tried": 1}),
    ):
        with pytest.raises(ValueError, match=words):
            KernelRidge(lambda x: x, lambda y: y, SQUARED, RADIAL, **changes)
    with pytest.raises(ValueError, match="kernels is empty"):
        KernelRidge(lambda x: x, lambda y: y, SQUARED, ())


def test_integer_inputs_of_a_kernel_machine_are_floats():
    points = jnp.round(POINTS * 40).astype(jnp.int8)
    small, large = (REGRESSION[0].fit(KEY, each, VALUES) for each in (points, points * 1.0))
    np.testing.assert_array_equal(small.weights, large.weights)


class Held(TaylorLayer):
    """A candidate whose error on held-out examples is not a number."""

    def held_out_error(self, state):
        return jnp.float32(jnp.nan)


def test_a_candidate_without_an_error_does_not_win():
    descent = Descent(optax.adam, (0.05,), 5, 8, patience=5)
    module = nn.Sequential([nn.Dense(2), nn.tanh, nn.Dense(1)])
    best = BestOf((Held(module, descent), TaylorLayer(module, descent)))
    assert jax.jit(best.fit)(KEY, POINTS, VALUES).index == 1


def test_a_rate_that_leaves_nothing_finite_does_not_win():
    """Its mistakes, by argmax of NaN, would be those of always guessing class 0."""
    labels = jnp.zeros(16, int)
    module = nn.Dense(3, kernel_init=nn.initializers.normal(1e-3))
    descent = Descent(optax.sgd, (1e38, 1e-6), 3, 8)
    params = Network(module, descent).fit(KEY, POINTS * 1e3, labels)
    np.testing.assert_allclose(params.learning_rate, 1e-6)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hierjax.models.residual_stack import RandomUnits, ResidualStack
from hierjax.tasks.label_hierarchies import automaton, draw_reversible_hierarchy
from hierjax.train import block_descent
from hierjax.train.block_layer import BlockConfig, BlockLayer
from hierjax.train.block_stack import residual_layers
from hierjax.train.layerwise import forward, layer_key, train_layerwise
from hierjax.train.losses import LABEL_LOSSES
from hierjax.train.network_layers import merge_variables

KEY = jax.random.key(3)
TASK = draw_reversible_hierarchy(jax.random.key(0), "cnot", 8, 2)
STACK = ResidualStack(num_labels=8, num_blocks=2, width=136)
TEST = TASK.sample(jax.random.key(9), 500)


def fresh(index):
    return TASK.sample(jax.random.fold_in(jax.random.key(1), index), 800)


def train(config, data=fresh, stack=STACK):
    layers = residual_layers(stack, config)
    return layers, jax.jit(lambda key: train_layerwise(layers, data, key))(KEY)


def accuracy(stream, batch):
    scores = stream[..., -batch.labels.shape[-1] :]
    right = (scores > 0) == (batch.labels > 0)
    return np.asarray(right.reshape(-1, batch.labels.shape[-1]).mean(axis=0))


@pytest.fixture(scope="module")
def trained():
    return train(BlockConfig(passes=8, batch_size=64))


def test_block_k_learns_level_k_and_no_more(trained):
    layers, params = trained
    first = accuracy(forward(layers, params[:1], TEST.inputs), TEST)
    both = accuracy(forward(layers, params, TEST.inputs), TEST)
    assert first[:4].min() > 0.99
    assert first[4:].mean() < 0.65
    assert both.min() > 0.99


def test_labels_out_of_reach_are_left_alone(trained):
    layers, params = trained
    assert params[0].accepted.tolist() == 4 * [True] + 4 * [False]
    stream = forward(layers, params[:1], TEST.inputs)
    np.testing.assert_array_equal(stream[:, -4:], np.zeros((500, 4)))


def test_first_weights_stay_as_they_were_drawn(trained):
    _, params = trained
    units = RandomUnits(136, "quadratic", 2, 0.5)
    for index, block in enumerate(params):
        drawn = jax.jit(units.init)(layer_key(KEY, index), jnp.zeros((1, 16)))["params"]
        kept = block.variables["params"][f"blocks_{index}"]["first"]
        np.testing.assert_array_equal(kept["kernel"], drawn["kernel"])


def test_together_the_blocks_are_the_module(trained):
    layers, params = trained
    whole = STACK.apply(merge_variables(params), TEST.inputs)
    stream = forward(layers, params, TEST.inputs)
    np.testing.assert_allclose(stream[:, -8:], whole, atol=1e-4)


def test_a_ridge_block_is_the_closed_form():
    stack = ResidualStack(8, 1, 20, "erf", None, clip=False)
    config = BlockConfig(solver="ridge", loss="square", penalty=0.1, accept="all")
    layer, batch = BlockLayer(stack, config, 0), TASK.sample(KEY, 300)
    params = jax.jit(layer.fit)(KEY, batch.inputs, batch.labels)
    found = jax.jit(layer.apply)(params, TEST.inputs)[:, -8:]

    units = RandomUnits(20, "erf", None, 0.5)
    drawn = jax.jit(units.init)(KEY, stack.embed(batch.inputs))
    train_rows, test_rows = (
        np.asarray(jax.jit(units.apply)(drawn, stack.embed(x)), np.float64)
        for x in (batch.inputs, TEST.inputs)
    )
    center = train_rows.mean(axis=0)
    phi, targets = train_rows - center, np.asarray(batch.labels, np.float64)
    gram = phi.T @ phi
    weights = np.linalg.solve(
        gram + 0.1 * np.trace(gram) / 20 * np.eye(20), phi.T @ (targets - targets.mean(axis=0))
    )
    expected = (test_rows - center) @ weights + targets.mean(axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_descent_on_the_square_loss_ends_where_ridge_does():
    outputs = []
    for solver in ("ridge", "sgd"):
        config = BlockConfig(solver, "square", 60, 32, accept="all")
        layers, params = train(config, stack=ResidualStack(8, 1, 136))
        outputs.append(forward(layers, params, TEST.inputs)[:, 8:12])
    np.testing.assert_allclose(outputs[0], outputs[1], atol=0.05)
    np.testing.assert_allclose(outputs[0], TEST.labels[:, :4], atol=0.05)


@pytest.mark.parametrize(
    ("solver", "loss"), [*(("sgd", loss) for loss in LABEL_LOSSES), ("adam", "hinge")]
)
def test_every_loss_is_learned(solver, loss):
    stack = ResidualStack(8, 1, 136)
    layers, params = train(BlockConfig(solver, loss, 10, 32), stack=stack)
    assert accuracy(forward(layers, params, TEST.inputs), TEST)[:4].mean() > 0.95


def test_one_sample_for_all_blocks_is_worse_than_validated_labels_and_those_than_fresh_samples():
    """Second weights fit the upper labels of few examples, and later blocks find little left."""
    stack = ResidualStack(8, 2, 1024, "relu", fan_in=None)

    def few(index):
        return jax.tree.map(lambda leaf: leaf[:100], fresh(index))

    means = {}
    for data, accept in ((few(0), "all"), (few(0), "validated"), (few, "all")):
        layers, params = train(BlockConfig("ridge", "square", accept=accept), data, stack)
        right = accuracy(forward(layers, params, TEST.inputs), TEST)
        assert right[:4].min() > 0.99
        means[callable(data), accept] = right[4:].mean()
    assert means[False, "all"] < 0.75 < means[False, "validated"] < 0.9 < means[True, "all"]


@pytest.mark.parametrize("num_examples", [40, 100, 800])
def test_a_penalty_below_rounding_leaves_finite_weights(num_examples):
    config = BlockConfig("ridge", "square", penalty=1e-9, accept="all")
    data = jax.tree.map(lambda leaf: leaf[:num_examples], fresh(0))
    layers, params = train(config, data, ResidualStack(8, 2, 136))
    assert accuracy(forward(layers, params, TEST.inputs), TEST)[:4].min() > 0.9
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_a_fit_that_runs_away_leaves_no_finite_weights(monkeypatch):
    monkeypatch.setitem(block_descent._SGD_RATES, "square", 30.0)
    _, params = train(BlockConfig(loss="square", batch_size=64), stack=ResidualStack(8, 1, 136))
    assert jnp.isnan(params[0].variables["params"]["blocks_0"]["second"]["kernel"]).all()


def test_blocks_climb_an_automaton_on_a_ring():
    task = automaton(30, 8, 2)
    stack = ResidualStack(2, 2, 45, lattice=(8,), radius=1)
    layers, params = train(
        BlockConfig(loss="hinge", passes=8, batch_size=32),
        data=lambda index: task.sample(jax.random.fold_in(KEY, index), 200),
        stack=stack,
    )
    test = task.sample(jax.random.key(9), 200)
    assert accuracy(forward(layers, params[:1], test.inputs), test)[1] < 0.65
    assert accuracy(forward(layers, params, test.inputs), test).min() > 0.99


def test_seeds_are_trained_side_by_side():
    layers = residual_layers(ResidualStack(8, 1, 136), BlockConfig(passes=2, batch_size=64))
    keys = jax.random.split(KEY, 2)
    many = jax.jit(jax.vmap(lambda key: train_layerwise(layers, fresh, key)))(keys)
    alone = jax.jit(lambda key: train_layerwise(layers, fresh, key))(keys[1])
    last = jax.tree.map(lambda leaf: leaf[1], many)
    for one, other in zip(jax.tree.leaves(last), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"solver": "newton"}, "solver='newton' is unknown: choose one of sgd, adam, ridge"),
        ({"loss": "zero_one"}, "loss='zero_one' is unknown"),
        ({"solver": "ridge"}, "solver='ridge' is for loss='square', not 'squared_hinge'"),
        ({"passes": 0.0}, "passes=0.0 must be above 0 and at most 10000"),
        ({"penalty": float("nan")}, "penalty=nan must be above 0 and at most"),
    ],
)
def test_bad_choices_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        BlockConfig(**changes)

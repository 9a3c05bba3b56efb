import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from hierjax.models.conv_stack import ConvStack
from hierjax.models.transformer import Transformer
from hierjax.runs.parallel import data_mesh
from hierjax.tasks.grammars import draw_random_hierarchy
from hierjax.tasks.random_hierarchy import RandomHierarchySpec
from hierjax.train.descent import Descent
from hierjax.train.layerwise import forward, layer_key, train_layerwise
from hierjax.train.losses import CROSS_ENTROPY, TOKEN_CROSS_ENTROPY
from hierjax.train.network import Network, TrainedNetwork
from hierjax.train.network_layers import merge_variables, network_layers

SPEC = RandomHierarchySpec(4, 4, 2, 2, 3)
STACK = ConvStack((2, 2, 2), 4, 4, 16)
DESCENT = Descent(optax.adam, (0.01,), 300, 32)
KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def batch():
    return draw_random_hierarchy(jax.random.key(0), SPEC).sample(KEY, 512)


@pytest.fixture(scope="module")
def stack(batch):
    layers = network_layers(STACK, DESCENT)
    return layers, jax.jit(lambda batch: train_layerwise(layers, batch, KEY))(batch)


def accuracy(scores, batch):
    return (scores.argmax(axis=-1) == batch.labels).mean()


def test_a_network_learns_end_to_end(batch):
    layers = (Network(STACK, DESCENT),)
    params = jax.jit(lambda batch: train_layerwise(layers, batch, KEY))(batch)
    assert accuracy(forward(layers, params, batch.inputs), batch) > 0.9
    assert params[0].num_steps == 300
    np.testing.assert_allclose(params[0].learning_rate, 0.01)


def test_a_network_tells_what_its_hidden_layers_make_of_the_inputs(batch):
    network = Network(STACK, DESCENT)
    variables = STACK.init(KEY, batch.inputs)
    trained = TrainedNetwork(variables, None, jnp.float32(0), jnp.int32(0))
    hidden = network.hidden(trained, batch.inputs)
    assert [each.shape for each in hidden] == [(512, 4, 16), (512, 2, 16), (512, 1, 16)]
    scores = STACK.apply(variables, hidden[-1], method="readout")
    np.testing.assert_array_equal(scores, network.apply(trained, batch.inputs))
    again = STACK.apply(variables, hidden[0], 1, method="layer")
    np.testing.assert_array_equal(again, hidden[1])
    assert Network(nn.Dense(3), DESCENT).hidden(trained, batch.inputs) == []


def test_descent_begins_where_it_is_told(batch, stack):
    """Layers that were trained alone go on together, from where they are."""
    variables = merge_variables(stack[1])
    network = Network(STACK, DESCENT).started_at(variables)
    start = network.start(jax.random.key(9), batch.inputs, batch.labels)
    chex.assert_trees_all_equal(start.params["variables"], variables)
    found = jax.jit(network.fit)(KEY, batch.inputs, batch.labels)
    scores = [STACK.apply(each, batch.inputs) for each in (variables, found.variables)]
    losses = [CROSS_ENTROPY.per_example(each, batch.labels).mean() for each in scores]
    assert losses[1] < losses[0] / 2


def test_layers_learn_one_at_a_time(batch, stack):
    layers, params = stack
    correct = []
    for index, layer in enumerate(layers):
        hidden = forward(layers, params[:index], batch.inputs)
        correct.append(accuracy(layer.class_scores(params[index], hidden), batch))
    assert 0.25 < correct[0] < correct[2]
    assert correct[2] > 0.9


def test_each_layer_trains_its_own_parameters_and_no_others(batch, stack):
    """They are together those of the module, which is then the same function as the stack."""
    layers, params = stack
    names = [set(each.variables["params"]) for each in params]
    assert names == [{"layers_0"}, {"layers_1"}, {"layers_2", "head"}]
    merged = merge_variables(params)
    chex.assert_trees_all_equal_shapes(merged, STACK.init(KEY, batch.inputs))
    np.testing.assert_array_equal(
        STACK.apply(merged, batch.inputs), forward(layers, params, batch.inputs)
    )


def test_a_layer_is_moved_by_its_own_gradient_alone(batch):
    """One full-batch step of SGD on layer 1 equals the gradient by hand, the rest held fixed."""
    descent = Descent(optax.sgd, (0.5,), 1, batch_size=4)
    layers = network_layers(STACK, descent)
    inputs, labels = jnp.tile(batch.inputs[:1], (8, 1)), jnp.tile(batch.labels[:1], 8)
    below = layers[0].fit(layer_key(KEY, 0), inputs, labels)
    hidden = layers[0].apply(below, inputs)
    before = layers[1].start(layer_key(KEY, 1), hidden, labels).params
    after = layers[1].fit(layer_key(KEY, 1), hidden, labels)

    def loss(conv):
        top = nn.relu(hidden.reshape(8, 2, 32) @ conv["kernel"].reshape(32, 16))
        head = before["head"]["params"]
        scores = top.reshape(8, -1) @ head["kernel"]
        return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()

    conv = before["variables"]["params"]["layers_1"]
    expected = conv["kernel"] - 0.5 * jax.grad(loss)(conv)["kernel"]
    moved = after.variables["params"]["layers_1"]["kernel"]
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    assert np.abs(moved - conv["kernel"]).max() > 1e-3


def test_a_shared_batch_trains_the_same_network(batch):
    """Losses on 4 devices equal one device's to 1e-5, round by round."""
    losses = []
    for mesh in (None, data_mesh(4)):
        layer = Network(STACK, Descent(optax.adam, (0.003,), 500, 32, mesh=mesh))
        advance, decide = jax.jit(layer.advance), jax.jit(layer.decide)
        state, seen = layer.start(KEY, batch.inputs, batch.labels), []
        while state.progress < 1:
            state = advance(KEY, state, batch.inputs, batch.labels)
            state = decide(KEY, state, batch.inputs, batch.labels)
            seen.append(float(state.loss))
        losses.append(seen)
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)


def test_a_causal_module_is_trained_layer_by_layer_with_a_head_at_every_position():
    """So a layer that is trained alone sees nothing of the tokens that it is to predict."""
    module = Transformer(5, 4, 4, width=8, num_blocks=2, num_heads=2)
    layer = network_layers(module, DESCENT, TOKEN_CROSS_ENTROPY)[0]
    strings = jax.random.randint(KEY, (2, 4), 0, 4)
    state = layer.start(KEY, strings, strings)
    assert state.params["head"]["params"]["kernel"].shape == (8, 4)
    changed = strings.at[:, 2:].set((strings[:, 2:] + 1) % 4)
    scores = [layer.class_scores(layer.finish(state, x, x), x) for x in (strings, changed)]
    assert scores[0].shape == (2, 4, 4)
    np.testing.assert_allclose(scores[0][:, :2], scores[1][:, :2], atol=1e-6)
    assert jnp.abs(scores[0][:, 2:] - scores[1][:, 2:]).max() > 1e-3


class Flat(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        return nn.Dense(4)(jax.nn.one_hot(tokens, 4).reshape(tokens.shape[0], -1))


class Headless(nn.Module):
    num_layers = 1

    def embed(self, tokens):
        return tokens

    def layer(self, hidden, index):
        return hidden


class Normalised(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        return nn.BatchNorm(use_running_average=False)(jax.nn.one_hot(tokens, 4)[:, 0])


def test_what_a_module_lacks_is_said():
    with pytest.raises(ValueError, match=r"Flat cannot be trained .* lacks num_layers, .*; embed"):
        network_layers(Flat(), DESCENT)
    with pytest.raises(ValueError, match=r"because it lacks readout\(hidden\), .* as a Network"):
        network_layers(Headless(), DESCENT)


class Tied(nn.Module):
    """The same weights in both layers, in a module of their own."""

    num_layers = 2

    def setup(self):
        self.trunk = ConvStack((2, 2), 4, 4, 8)
        self.shared = nn.Dense(8)

    def embed(self, tokens):
        return self.trunk.layer(self.trunk.embed(tokens), 0)[:, 0]

    def layer(self, hidden, index):
        return nn.relu(self.shared(hidden))

    def readout(self, hidden):
        return self.trunk.readout(hidden[:, None])


def test_tied_weights_train_as_a_stack_but_make_no_module(batch):
    layers = network_layers(Tied(), Descent(optax.adam, (0.01,), 20, 8))
    params = train_layerwise(layers, batch, KEY)
    assert forward(layers, params, batch.inputs).shape == (512, 4)
    assert set(params[0].variables["params"]) == {"trunk", "shared"}
    with pytest.raises(ValueError, match="several layers have trained params/shared/bias"):
        merge_variables(params)


class Half(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        onehot = jax.nn.one_hot(tokens, 4).reshape(tokens.shape[0], -1)
        return nn.Dense(4, dtype=jnp.bfloat16)(onehot)


def test_half_precision_trains(batch):
    layer = Network(Half(), Descent(optax.adam, (0.01, 0.1), 60, 32))
    params = jax.jit(layer.fit)(KEY, batch.inputs, batch.labels)
    assert accuracy(layer.apply(params, batch.inputs), batch) > 0.4


def test_other_variables_than_parameters_are_refused(batch):
    with pytest.raises(ValueError, match="Normalised has variables of kind batch_stats"):
        Network(Normalised(), DESCENT).start(KEY, batch.inputs, batch.labels)

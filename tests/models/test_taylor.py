import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hierjax import map_seeds
from hierjax.models.activations import ACTIVATIONS
from hierjax.models.taylor import empirical_ntk, linearize, quadratic
from hierjax.models.two_layer_net import TwoLayerNet

DIM, WIDTH = 4, 6
SIGNS = np.array([1, -1, 1, -1, 1, -1]) / WIDTH**0.5


# Compiling takes longer than running.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module", autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


class TwoDense(nn.Module):
    """Both layers and their biases are parameters; outputs are activated too."""

    activation: str = "tanh"

    @nn.compact
    def __call__(self, inputs):
        act = {**ACTIVATIONS, "leaky_relu": nn.leaky_relu}[self.activation]
        hidden = act(nn.Dense(WIDTH)(inputs))
        return act(nn.Dense(2)(hidden))


class Tokens(nn.Module):
    """Sums an activation over the embeddings of tokens."""

    activation: str

    @nn.compact
    def __call__(self, tokens):
        return ACTIVATIONS[self.activation](nn.Embed(7, 3)(tokens)).sum(axis=1)


SLOPES = {
    "quadratic": (lambda u: 2 * u, lambda u: np.full_like(u, 2.0)),
    "erf": (
        lambda u: 2 / np.pi**0.5 * np.exp(-(u**2)),
        lambda u: -4 / np.pi**0.5 * u * np.exp(-(u**2)),
    ),
    "cosine": (lambda u: -np.sin(u), lambda u: -np.cos(u)),
}


def autodiff_slopes(activation):
    first = jax.grad(ACTIVATIONS[activation])
    return quick_jit(jax.vmap(first)), quick_jit(jax.vmap(jax.grad(first)))


def two_layer_numbers():
    """Inputs, kernel and its change, float64 and of moderate size."""
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(8, DIM)),
        rng.normal(size=(DIM, WIDTH)) / DIM**0.5,
        rng.normal(size=(DIM, WIDTH)) / DIM**0.5,
    )


@functools.cache
def two_layer_terms(activation):
    """(8,) both terms of the library."""
    inputs, kernel, change = two_layer_numbers()
    module = TwoLayerNet(WIDTH, activation)
    at, along = ({"params": {"kernel": jnp.asarray(each)}} for each in (kernel, change))
    points = jnp.asarray(inputs)
    terms = [quick_jit(make(module))(at, along, points) for make in (linearize, quadratic)]
    assert {term.dtype for term in terms} == {np.dtype("float64")}
    return [np.asarray(term)[:, 0] for term in terms]


def assert_two_layer_terms(terms, slope, second_slope, tolerance):
    inputs, kernel, change = two_layer_numbers()
    units, moved = inputs @ kernel, inputs @ change
    expected = (slope(units) * moved) @ SIGNS, (second_slope(units) * moved**2 / 2) @ SIGNS
    np.testing.assert_allclose(terms[0], expected[0], atol=tolerance)
    np.testing.assert_allclose(terms[1], expected[1], atol=tolerance)


@pytest.mark.parametrize("activation", SLOPES)
def test_terms_of_a_two_layer_net_are_those_of_the_formula(activation):
    """The cosine is an approximation, whose derivatives are worse than itself."""
    tolerance = 1e-3 if activation == "cosine" else 1e-5
    assert_two_layer_terms(two_layer_terms(activation), *SLOPES[activation], tolerance)


@pytest.mark.parametrize("activation", ["cosine", "gelu"])
def test_terms_use_the_derivatives_of_the_activation_as_it_is_computed(activation):
    def elementwise(index):
        def derivative(units):
            flat = autodiff_slopes(activation)[index](jnp.asarray(units).reshape(-1))
            return np.asarray(flat).reshape(units.shape)

        return derivative

    assert_two_layer_terms(two_layer_terms(activation), elementwise(0), elementwise(1), 1e-5)


def test_quadratic_units_have_no_third_term():
    inputs, kernel, change = two_layer_numbers()

    def values(kernel):
        return ((inputs @ kernel) ** 2 - 1) @ SIGNS

    first, second = two_layer_terms("quadratic")
    np.testing.assert_allclose(values(kernel) + first + second, values(kernel + change), atol=1e-10)


def deep_numbers(rng):
    sizes = {"Dense_0": (DIM, WIDTH), "Dense_1": (WIDTH, 2)}
    return {
        "params": {
            name: {"kernel": rng.normal(size=shape) / 2, "bias": rng.normal(size=shape[1])}
            for name, shape in sizes.items()
        }
    }


def deep_values(variables, inputs):
    """Of both layers, (N, WIDTH) and (N, 2)."""
    first, second = (variables["params"][name] for name in ("Dense_0", "Dense_1"))
    hidden = np.tanh(inputs @ first["kernel"] + first["bias"])
    return hidden, np.tanh(hidden @ second["kernel"] + second["bias"])


@pytest.fixture(scope="module")
def deep():
    """f along the line of a change of all parameters, in numpy, and both terms, (8, 2)."""
    rng = np.random.default_rng(1)
    inputs, variables, change = rng.normal(size=(8, DIM)), deep_numbers(rng), deep_numbers(rng)
    args = jax.tree.map(jnp.asarray, (variables, change, inputs))
    terms = [np.asarray(quick_jit(make(TwoDense()))(*args)) for make in (linearize, quadratic)]

    def moved(step):
        at = jax.tree.map(lambda w, u: w + step * u, variables, change)
        return deep_values(at, inputs)[1]

    return moved, *terms


def test_terms_of_a_deep_net_are_those_of_finite_differences(deep):
    """All parameters change at once, so the mixed derivatives count."""
    moved, first, second = deep
    step = 1e-4
    ahead, here, behind = moved(step), moved(0.0), moved(-step)
    np.testing.assert_allclose(first, (ahead - behind) / (2 * step), atol=1e-6)
    np.testing.assert_allclose(second, (ahead - 2 * here + behind) / (2 * step**2), atol=1e-6)


def test_what_two_terms_leave_out_is_of_third_order(deep):
    moved, first, second = deep
    steps = 0.1 / 2.0 ** np.arange(5)
    left = [np.linalg.norm(moved(e) - moved(0.0) - e * first - e**2 * second) for e in steps]
    assert np.polyfit(np.log(steps), np.log(left), 1)[0] == pytest.approx(3, abs=0.1)


PIECEWISE_LINEAR = {
    "two_layer_relu": TwoLayerNet(WIDTH, "relu"),
    "two_layer_linear": TwoLayerNet(WIDTH, "identity"),
    "deep_relu": TwoDense("relu"),
    "leaky_relu": TwoDense("leaky_relu"),
    "linear": nn.Dense(WIDTH),
}


@pytest.mark.parametrize("name", PIECEWISE_LINEAR)
def test_piecewise_linear_modules_have_no_quadratic_term(name):
    module, inputs = PIECEWISE_LINEAR[name], jnp.ones((8, DIM))
    shapes = jax.eval_shape(module.init, jax.random.key(0), inputs)
    variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    with pytest.raises(ValueError, match=f"{type(module).__name__} .*choose a smooth activation"):
        quadratic(module)(variables, variables, inputs)


def one_by_one(term):
    def of_seeds(*seeds):
        lanes = [jax.tree.map(lambda leaf, i=i: leaf[i], seeds) for i in range(2)]
        return [quick_jit(term)(*lane) for lane in lanes]

    return of_seeds


WRAPPERS = {
    "jit": one_by_one,
    "vmap": lambda term: quick_jit(jax.vmap(term)),
    "map_seeds": map_seeds,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_relu_is_refused_and_erf_is_not_while_tracing(wrapper):
    rng = np.random.default_rng(0)
    inputs, (kernels, changes) = rng.normal(size=(2, 3, DIM)), rng.normal(size=(2, 2, DIM, WIDTH))
    variables, change = ({"params": {"kernel": jnp.asarray(each)}} for each in (kernels, changes))
    seeds = variables, change, jnp.asarray(inputs)
    with pytest.raises(ValueError, match="TwoLayerNet is piecewise linear"):
        WRAPPERS[wrapper](quadratic(TwoLayerNet(WIDTH, "relu")))(*seeds)
    terms = WRAPPERS[wrapper](quadratic(TwoLayerNet(WIDTH, "erf")))(*seeds)
    for term, x, kernel, change in zip(terms, inputs, kernels, changes, strict=True):
        expected = (SLOPES["erf"][1](x @ kernel) * (x @ change) ** 2 / 2) @ SIGNS
        np.testing.assert_allclose(term[:, 0], expected, atol=1e-10)


def test_modules_of_tokens_have_a_quadratic_term():
    tokens = np.array([[0, 3], [6, 6], [2, 5]])
    table, change = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    args = [{"params": {"Embed_0": {"embedding": each}}} for each in (table, change)]
    term = quick_jit(quadratic(Tokens("tanh")))(*args, jnp.asarray(tokens, jnp.int32))
    tanh = np.tanh(table)
    expected = (-tanh * (1 - tanh**2) * change**2)[tokens].sum(axis=1)
    np.testing.assert_allclose(term, expected, atol=1e-5)
    with pytest.raises(ValueError, match="Tokens is piecewise linear"):
        quadratic(Tokens("relu"))(*args, jnp.asarray(tokens, jnp.int32))


def test_empirical_ntk_of_a_linear_model_is_the_gram_matrix():
    rng = np.random.default_rng(0)
    inputs, others = rng.normal(size=(5, DIM)), rng.normal(size=(3, DIM))
    module = nn.Dense(1, use_bias=False)
    variables = {"params": {"kernel": jnp.ones((DIM, 1))}}
    ntk = quick_jit(lambda *args: empirical_ntk(module, *args))(variables, inputs, others)
    assert ntk.shape == (5, 3, 1, 1)
    np.testing.assert_allclose(ntk[..., 0, 0], inputs @ others.T, atol=1e-10)


@pytest.fixture(scope="module")
def two_outputs():
    """Variables, both batches and, by hand, the NTK of `TwoDense`."""
    rng = np.random.default_rng(2)
    variables, inputs, others = (
        deep_numbers(rng),
        rng.normal(size=(5, DIM)),
        rng.normal(size=(4, DIM)),
    )
    kernel = variables["params"]["Dense_1"]["kernel"]

    def jacobian(x):
        hidden, outputs = deep_values(variables, x)
        of_tops = (1 - outputs**2)[:, None] * np.eye(2)[None]
        of_hidden = (1 - hidden**2)[:, :, None] * (kernel @ of_tops)
        parts = [
            of_tops,
            hidden[:, :, None, None] * of_tops[:, None],
            of_hidden,
            x[:, :, None, None] * of_hidden[:, None],
        ]
        return np.concatenate([part.reshape(len(x), -1, 2) for part in parts], axis=1)

    expected = np.einsum("npc,mpe->nmce", jacobian(inputs), jacobian(others))
    return *jax.tree.map(jnp.asarray, (variables, inputs, others)), expected


@pytest.mark.parametrize("block", [1, 3, 100])
def test_empirical_ntk_is_the_product_of_jacobians_whatever_the_block(two_outputs, block):
    *args, expected = two_outputs
    ntk = quick_jit(lambda *args: empirical_ntk(TwoDense(), *args, block))(*args)
    np.testing.assert_allclose(ntk, expected, atol=1e-10)


def test_empty_blocks_are_refused(two_outputs):
    with pytest.raises(ValueError, match="block=0 must be at least 1"):
        empirical_ntk(TwoDense(), *two_outputs[:3], block=0)


class BatchNormed(nn.Module):
    @nn.compact
    def __call__(self, inputs):
        norm = nn.BatchNorm(use_running_average=True, use_scale=False, use_bias=False)
        return nn.relu(norm(nn.Dense(4)(inputs)))


class Counting(nn.Module):
    """Has a variable that no derivative can be taken of."""

    @nn.compact
    def __call__(self, inputs):
        count = self.param("count", lambda key: jnp.int32(3))
        return jnp.tanh(nn.Dense(2)(inputs)) * count


def test_only_curvature_in_the_parameters_counts():
    inputs = jnp.ones((2, 3))
    module = BatchNormed()
    variables = module.init(jax.random.key(0), inputs)
    with pytest.raises(ValueError, match="piecewise linear"):
        quadratic(module)(variables, variables, inputs)


def test_whole_numbers_among_the_variables_stay_as_they_are():
    module, inputs = Counting(), jnp.ones((2, 3))
    variables = module.init(jax.random.key(0), inputs)
    change = jax.tree.map(jnp.ones_like, variables)
    change["params"]["count"] = np.zeros((), jax.dtypes.float0)
    assert jnp.isfinite(quadratic(module)(variables, change, inputs)).all()


@pytest.mark.parametrize("activation", ["gelu", "erf", "tanh"])
def test_saturating_units_of_many_inputs_are_accepted(activation):
    module, inputs = TwoLayerNet(1, activation), jnp.ones((2, 4096), jnp.float32)
    variables = module.init(jax.random.key(0), inputs)
    assert quadratic(module)(variables, variables, inputs).shape == (2, 1)


class Scaled(nn.Module):
    """An output that is multiplied by a constant, which is no parameter."""

    @nn.compact
    def __call__(self, inputs):
        factor = self.variable("constants", "factor", lambda: jnp.full(1, 3.0))
        steps = self.variable("constants", "steps", lambda: jnp.zeros(1, int))
        return (
            jnp.tanh(nn.Dense(1, use_bias=False)(inputs)) * factor.value[None] + steps.value[None]
        )


def test_variables_besides_the_parameters_are_held_fixed():
    """By hand: f = 3 tanh(w x), whose gradient in w is 3 (1 - tanh^2) x."""
    inputs = jnp.array([[1.0, -0.5], [0.3, 2.0]])
    module = Scaled()
    variables = module.init(jax.random.key(0), inputs)
    kernel = np.asarray(variables["params"]["Dense_0"]["kernel"])[:, 0]
    change = jax.tree.map(jnp.ones_like, variables)
    values = np.tanh(inputs @ kernel)
    slopes = 3 * (1 - values**2)[:, None] * inputs
    np.testing.assert_allclose(linearize(module)(variables, change, inputs)[:, 0], slopes.sum(1))
    bends = 3 * -values * (1 - values**2) * np.asarray(inputs).sum(1) ** 2
    np.testing.assert_allclose(quadratic(module)(variables, change, inputs)[:, 0], bends)
    kernel = empirical_ntk(module, variables, inputs, inputs)[..., 0, 0]
    np.testing.assert_allclose(kernel, slopes @ slopes.T)


class Normalised(nn.Module):
    reads_only: bool

    @nn.compact
    def __call__(self, inputs):
        normalised = nn.BatchNorm(use_running_average=self.reads_only)(inputs)
        return jnp.tanh(nn.Dense(1, use_bias=False)(normalised))


@pytest.mark.parametrize("term", [linearize, quadratic, empirical_ntk])
def test_variables_that_change_and_missing_parameters_are_refused(term):
    inputs = jnp.array([[1.0, -0.5], [0.3, 2.0]])

    def make(module, variables):
        if term is empirical_ntk:
            return term(module, variables, inputs, inputs)
        return term(module)(variables, variables, inputs)

    variables = Normalised(False).init(jax.random.key(0), inputs)
    assert jnp.isfinite(make(Normalised(True), variables)).all()
    with pytest.raises(ValueError, match="Normalised updates variables besides its parameters"):
        make(Normalised(False), variables)
    with pytest.raises(ValueError, match="Scaled has no parameters to expand in"):
        make(Scaled(), {"constants": variables["batch_stats"]})

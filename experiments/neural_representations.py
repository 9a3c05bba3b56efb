"""What a fixed random representation adds to a quadratic Taylor model (arXiv 2006.13436).

Four learners see targets that are polynomials of a few directions on a sphere: the NTK and the
quadratic model of a two-layer network, each on the raw input (ntk_raw, quad_raw) and on a random
one-layer representation, whitened on the inputs that are not held out (ntk_rep, quad_rep). Each
makes all of its choices on validation, both quadratic models by one rule.

    python -m experiments.neural_representations
    python -m experiments.neural_representations --input_dim 20 --representation relu

With the default sizes (He_4 of one direction in 16 dimensions) expect test errors over the variance
at 2,000 examples of .0005 for quad_rep, .05 for quad_raw, .42 for ntk_raw and .53 for ntk_rep, in
five minutes on two cores.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from experiments.runner import run
from hierjax.measure import spread
from hierjax.runs import (
    ERROR,
    LayerwiseExperiment,
    Registry,
    Results,
    RunRequest,
    Stack,
    free_memory,
    measures,
    nested,
    seed_chunks,
    seed_mesh,
    total_seconds,
)
from hierjax.settings import Config, setting
from hierjax.tasks import Batch, PolynomialSpec, draw_low_rank_polynomial
from hierjax.theory import fully_connected_kernels
from hierjax.train import (
    REPRESENTATIONS,
    SQUARED,
    BestOf,
    Kernel,
    KernelRidge,
    QuadraticConfig,
    RepresentationLayer,
    forward,
    gram_bytes,
    quadratic_learner,
)

LEAST_TRAIN = 16
"""Fewest train examples."""

STREAM = 3
"""Number that is folded into the key of a seed for the key of its learners."""

_UNITS_PER_DIRECTION = {"quadratic": 2, "relu": 8, "erf": 8, "indicator": 8}
_MOST_WIDTH = 2**17
_MOST_EXAMPLES = 2**22
_LEAST_VARIANCE = 1e-8


@dataclasses.dataclass(frozen=True)
class NTKConfig(Config):
    """Which neural tangent kernels are tried; held-out examples choose.

    Attributes:
      networks: activation, depth, weight_std and bias_std of the networks whose kernels are tried.
      ridges: ridges of the kernel machines that are tried.
      most_tried: train examples by which kernel and ridge are chosen.
    """

    networks: tuple[tuple[str, int, float, float], ...] = setting(
        (
            ("relu", 1, 2**0.5, 0.0),
            ("relu", 1, 2**0.5, 0.5),
            ("relu", 2, 2**0.5, 0.5),
            ("cosine", 1, 0.5, 0.0),
            ("cosine", 1, 1.0, 0.0),
            ("erf", 1, 0.5, 1.0),
        ),
        flag=False,
    )
    ridges: tuple[float, ...] = setting((1e-6, 1e-4, 1e-2, 1.0), least=0)
    most_tried: int = setting(8192, least=2)


@dataclasses.dataclass(frozen=True)
class Learner:
    """A learner of polynomials.

    Attributes:
      make: (request, dimension of its inputs) -> the layers above the input or representation.
      colour: in figures.
      represented: whether it sees the representation.
    """

    make: Callable[[Any, int], tuple]
    colour: str
    represented: bool = False


LEARNERS: Registry[Learner] = Registry(Learner, "learner")


def ntk(request: "Request", input_dim: int) -> tuple[KernelRidge]:
    """Kernel regression with the NTK of an infinitely wide network, chosen on validation."""
    return (
        KernelRidge(
            lambda inputs: inputs,
            lambda labels: labels[:, None],
            SQUARED,
            tuple(Kernel(_name(*network), _gram(*network)) for network in request.ntk.networks),
            request.ntk.ridges,
            request.ntk.most_tried,
            request.dtype,
        ),
    )


def _name(activation, depth, weight_std, bias_std) -> str:
    return f"{activation} depth {depth}, weights {weight_std:.2g}, biases {bias_std:g}"


def _gram(activation, depth, weight_std, bias_std) -> Callable[..., jax.Array]:
    def gram(points, others, distance):
        del distance  # Inputs and representations have entries of size 1.
        return fully_connected_kernels(points, others, depth, activation, weight_std, bias_std).ntk

    return gram


def quad(request: "Request", input_dim: int) -> tuple[BestOf]:
    """The quadratic Taylor model of a two-layer network, all of its choices made on validation."""
    return quadratic_learner(input_dim, request.quad)


LEARNERS.add("ntk_raw", colour="tab:orange")(ntk)
LEARNERS.add("quad_raw", colour="tab:green")(quad)
LEARNERS.add("ntk_rep", colour="tab:red", represented=True)(ntk)
LEARNERS.add("quad_rep", colour="tab:blue", represented=True)(quad)


def direction_count(input_dim: int) -> int:
    """Monomials of degree 2 and less: a representation by quadratics has no more directions."""
    return 1 + input_dim + input_dim * (input_dim + 1) // 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      task: sizes of the targets.
      num_train: numbers of train examples, n, ascending; smaller train sets are the first
        examples of larger ones.
      learners: learners to train.
      representation: activation of the units of the representation.
      width: units of the representation, D; unset: 2 for each direction, 8 if not quadratic.
      num_directions: directions of the representation that are whitened, E; unset:
        1 + d + d(d+1)/2.
      quad: what is tried for the quadratic models.
      ntk: what is tried for the kernel machines.
      float64: compute kernel machines in double precision.
      num_test: number of test examples.
      num_seeds: number of seeds; each draws its own target, data and weights.
    """

    task: PolynomialSpec = nested(PolynomialSpec, names={"kind": "target"}, input_dim=16)
    num_train: tuple[int, ...] = setting(
        (500, 1000, 2000), least=LEAST_TRAIN, most=_MOST_EXAMPLES, ascending=True
    )
    learners: tuple[str, ...] = setting(lambda: tuple(LEARNERS), choices=LEARNERS)
    representation: str = setting("quadratic", choices=REPRESENTATIONS)
    width: int | None = setting(None)
    num_directions: int | None = setting(None, least=1, most=_MOST_WIDTH)
    quad: QuadraticConfig = nested(QuadraticConfig, "quad_", names={"num_steps": "num_steps"})
    ntk: NTKConfig = nested(NTKConfig, "ntk_")
    float64: bool = setting(False)
    num_test: int = setting(4000, least=1, most=_MOST_EXAMPLES)
    num_seeds: int = setting(5, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        if self.num_directions is None:
            self.fill(num_directions=direction_count(self.task.input_dim))
        if self.width is None:
            self.fill(width=_UNITS_PER_DIRECTION[self.representation] * self.num_directions)
        if not self.num_directions <= self.width <= _MOST_WIDTH:
            raise ValueError(
                f"width={self.width} must be from {self.num_directions}, the directions that are "
                f"whitened, to {_MOST_WIDTH}: set --width or --num_directions"
            )

    @property
    def dtype(self) -> str:
        """Type in which kernel machines compute."""
        return "float64" if self.float64 else "float32"

    def layers(self, name: str) -> tuple:
        """The layers of a learner."""
        learner, dim = LEARNERS[name], self.task.input_dim
        if not learner.represented:
            return learner.make(self, dim)
        size = (self.width, self.num_directions, self.representation)
        return (RepresentationLayer(*size), *learner.make(self, self.num_directions))


class SeedData(struct.PyTreeNode):
    """What the learners of a seed share.

    Attributes:
      train: as many examples as the largest train set has.
      test: fresh examples.
    """

    train: Batch
    test: Batch


def draw(key: jax.Array, request: Request) -> SeedData:
    """Draws the target of a seed, and all examples of it."""
    task = draw_low_rank_polynomial(jax.random.fold_in(key, 0), request.task)
    test = task.sample(jax.random.fold_in(key, 1), request.num_test)
    train = task.sample(jax.random.fold_in(key, 2), request.num_train[-1])
    return SeedData(train.replace(latents=()), test)


def first(num_train: int, data: SeedData, index: int = 0) -> Batch:
    """The first examples of the train set."""
    return jax.tree.map(lambda leaf: leaf[:num_train], data.train)


def learners(request: Request) -> dict[str, Stack]:
    """The learners that are asked for, each at each number of examples, smallest first."""
    return {
        f"{name}_{num_train}": Stack(request.layers(name), functools.partial(first, num_train))
        for num_train in request.num_train
        for name in request.learners
    }


def require(request: Request) -> None:
    """Asserts that the seeds which are worked on at once have room.

    Raises:
      ValueError: they have not.
    """
    if request.float64:
        jax.config.update("jax_enable_x64", True)
    lanes = next(seed_chunks(request.num_seeds, seed_mesh(request.num_devices)))[0].size
    needed, free = lanes * _bytes_of_a_seed(request), free_memory()
    if needed > free:
        raise ValueError(
            f"num_train={request.num_train[-1]}, num_test={request.num_test} and "
            f"width={request.width} need {needed / 2**30:.1f} GiB for {lanes} seeds at once, and "
            f"{free / 2**30:.1f} GiB are free: lower one of them, set --num_devices 1, or leave "
            "out kernel machines (--learners quad_raw,quad_rep), which hold their Gram matrices "
            "whole"
        )


def _bytes_of_a_seed(request: Request) -> int:
    """The largest of what the learners hold, Gram matrices or features, and the data."""
    most, rows = request.num_train[-1], request.num_train[-1] + request.num_test
    size = np.dtype(request.dtype).itemsize
    gram = gram_bytes(most, request.dtype) + 2 * size * most * request.num_test
    smaller = min(most, request.width)
    features = 4 * (2 * rows * request.width + 4 * smaller**2)
    data = 8 * rows * (request.task.input_dim + request.task.degree + 2)
    return data + max(
        gram if any(name.startswith("ntk") for name in request.learners) else 0,
        features if any(LEARNERS[name].represented for name in request.learners) else 0,
    )


MEASURES = measures()


@MEASURES.add("test_error", column="test error (worst)", text=ERROR)
def test_error(layers, data, below, params):
    """Squared error to the target without its noise, over the variance of that."""
    if len(below) < len(layers) - 1:
        return None  # A representation predicts nothing.
    values, target = _values(layers, data, below, params), jnp.stack(data.test.latents).sum(axis=0)
    return jnp.mean((values - target) ** 2) / target.var()


@MEASURES.add("explained")
def explained(layers, data, below, params):
    """What of each component is found: its coefficient in the regression of the values on all
    components, NaN for those that do not vary."""
    if len(below) < len(layers) - 1:
        return None
    values, components = _values(layers, data, below, params), jnp.stack(data.test.latents)
    centred = components - components.mean(axis=1, keepdims=True)
    varies = jnp.mean(centred**2, axis=1) > _LEAST_VARIANCE
    with jax.default_matmul_precision("highest"):
        solve = jnp.linalg.pinv(jnp.where(varies[:, None], centred, 0).T)
        found = solve @ (values - values.mean())
    return jnp.where(varies, found, jnp.nan)


@MEASURES.add("dropped")
def dropped(layers, data, below, params):
    """Share of the directions of the representation that are below the floor."""
    if not isinstance(layers[0], RepresentationLayer):
        return None
    return (*below, params)[0].dropped


@MEASURES.add("chosen")
def chosen(layers, data, below, params):
    """What validation has chosen, by name."""
    if len(below) < len(layers) - 1:
        return None
    if isinstance(layers[-1], KernelRidge):
        return {"kernel": params.kernel, "ridge": params.ridge}
    names = ("learning_rate", "penalty", "num_steps")
    of_all = {name: jnp.stack([getattr(each, name) for each in params.params]) for name in names}
    return {"candidate": params.index} | {n: each[params.index] for n, each in of_all.items()}


def _values(layers, data, below, params) -> jax.Array:
    return forward(layers, (*below, params), data.test.inputs)[:, 0]


def headline(request: Request) -> str:
    """What is about to be run."""
    task = request.task
    return (
        f"{task.kind} polynomials of degree {task.degree} and rank {task.rank} on the sphere in "
        f"{task.input_dim} dimensions: {', '.join(map(str, request.num_train))} train examples, "
        f"{request.representation} representation of {request.width} units and "
        f"{request.num_directions} directions, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json."""
    measured = {name: layers[-1].measured for name, layers in results.items()}
    seconds = {name: total_seconds(layers) for name, layers in results.items()}
    return summarize_measured(request, measured, seconds)


def summarize_measured(request: Request, measured: dict, seconds: dict) -> dict:
    """The content of summary.json, from what was measured and what it took.

    Args:
      request: what was asked for.
      measured: what each measure says of each learner, stacked over seeds.
      seconds: what each learner took.
    """

    def each(entry) -> dict:
        return {
            name: {str(n): entry(name, f"{name}_{n}") for n in request.num_train}
            for name in request.learners
        }

    def share_dropped(name, run_name):
        shares = measured[run_name].get("dropped")
        return None if shares is None else float(shares.mean())

    task = draw_low_rank_polynomial(jax.random.key(0), request.task)
    names = ("num_train", "learners", "representation", "width", "num_directions")
    more = ("dtype", "num_test", "num_seeds", "seed")
    configs = ("task", "quad", "ntk")
    return {
        **{name: dataclasses.asdict(getattr(request, name)) for name in configs},
        **{name: getattr(request, name) for name in (*names, *more)},
        "num_steps": request.quad.num_steps,
        "variance_by_degree": [0.0, *task.mean_squares[1:].tolist()],
        "test_error": each(lambda _, n: spread(measured[n]["test_error"])),
        "explained_by_degree": each(lambda _, n: measured[n]["explained"].mean(axis=0).tolist()),
        "chosen": each(lambda name, n: _chosen(request.layers(name)[-1], measured[n]["chosen"])),
        "dropped": each(share_dropped),
        "seconds": each(lambda _, n: seconds[n]),
    }


def _chosen(layer: KernelRidge | BestOf, made: dict[str, np.ndarray]) -> dict:
    """What validation chose for each seed."""
    if isinstance(layer, KernelRidge):
        names = [layer.kernels[int(index)].name for index in made["kernel"]]
        return {"kernel": names, "ridge": made["ridge"].tolist()}
    modules = [layer.candidates[int(index)].module for index in made["candidate"]]
    return {
        "activation": [module.activation for module in modules],
        "width": [module.width for module in modules],
        **{name: made[name].tolist() for name in ("learning_rate", "penalty")},
        "num_steps": [int(steps) for steps in made["num_steps"]],
    }


def notes(summary: dict) -> list[str]:
    """What to know of the representations, and of the errors."""
    lines = [
        f"{name} at n = {n}: {share:.1%} of the {summary['num_directions']} directions of the "
        "representation are below the floor and were dropped"
        for name, shares in summary["dropped"].items()
        for n, share in shares.items()
        if share
    ]
    degrees = [
        f"{share:.3f} of degree {degree}"
        for degree, share in enumerate(summary["variance_by_degree"])
        if share > 0
    ]
    return [
        *lines,
        f"over the target's variance ({', '.join(degrees)}), so 1 for guessing its mean; mean and "
        f"standard deviation over {summary['num_seeds']} seeds, on {summary['device']}",
    ]


def colours() -> dict[str, str]:
    """The colour of each learner, by name."""
    return {name: learner.colour for name, learner in LEARNERS.items()}


EXPERIMENT = LayerwiseExperiment(
    name="neural_representations",
    doc=__doc__,
    request=Request,
    require=require,
    draw=draw,
    learners=learners,
    measures=MEASURES,
    stream=STREAM,
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure="representation_figure",
    drawn_with=lambda: {"colours": colours()},
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()

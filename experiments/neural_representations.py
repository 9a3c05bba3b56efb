"""What a fixed random representation adds to a quadratic Taylor model (arXiv 2006.13436).

Four learners see targets that are polynomials of a few directions on a sphere: the NTK and the
quadratic model of a two-layer network, each on the raw input (ntk_raw, quad_raw) and on a random
one-layer representation, whitened on the inputs that are not held out (ntk_rep, quad_rep). Each
makes all of its choices on validation, both quadratic models by one rule.

    python -m experiments.neural_representations
    python -m experiments.neural_representations --input_dim 20 --representation relu
    python -m experiments.neural_representations --target mixed

With the default sizes (He_4 of one direction in 16 dimensions) expect test errors over the variance
at 2,000 examples of .0005 for quad_rep, .05 for quad_raw, .42 for ntk_raw and .53 for ntk_rep, in
five minutes on two cores.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import struct

from experiments.runner import run
from hierjax.measure import spread
from hierjax.runs import (
    ERROR,
    POLYNOMIAL_LEARNERS,
    LayerwiseExperiment,
    PolynomialSettings,
    Results,
    RunRequest,
    Stack,
    described,
    free_memory,
    measures,
    nested,
    seed_keys,
    seed_mesh,
    sharing_memory,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import Batch, PolynomialSpec, draw_low_rank_polynomial
from hierjax.train import RepresentationLayer, forward

LEAST_TRAIN, MOST_EXAMPLES = 16, 2**22
STREAM = 3
"""Number that is folded into the key of a seed for the key of its learners."""

_LEAST_VARIANCE = 1e-8
# The other second derivatives are even, and so would be the quadratic model of the input.
_MIXED = {"rank": 4, "quad_activations": ("quadratic", "cosine", "squared_relu")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest, PolynomialSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      task: sizes of the targets.
      num_train: numbers of train examples, n, ascending; smaller train sets are the first
        examples of larger ones.
      learners: learners to train.
      num_test: number of test examples.
      num_seeds: number of seeds; each draws its own target, data and weights.
    """

    task: PolynomialSpec = nested(PolynomialSpec, names={"kind": "target"}, input_dim=16)
    num_train: tuple[int, ...] = setting(
        (500, 1000, 2000), least=LEAST_TRAIN, most=MOST_EXAMPLES, ascending=True
    )
    learners: tuple[str, ...] = setting(
        lambda: tuple(POLYNOMIAL_LEARNERS), choices=POLYNOMIAL_LEARNERS
    )
    num_test: int = setting(4000, least=16, most=MOST_EXAMPLES)
    num_seeds: int = setting(5, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        self.fill_sizes(self.task)


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
        f"{name}_{num_train}": Stack(
            request.layers(name, request.task.input_dim), functools.partial(first, num_train)
        )
        for num_train in request.num_train
        for name in request.learners
    }


def options(request: Request) -> dict:
    """Double precision if it is asked for."""
    return {"enable_x64": request.float64}


def require(request: Request) -> None:
    """Refuses sizes for whose seeds, as many as are worked on at once, there is no room."""
    lanes = sharing_memory(request.num_seeds, seed_mesh(request.num_devices))
    most, num_test = request.num_train[-1], request.num_test
    of_data = 8 * (most + num_test) * (request.task.input_dim + request.task.degree + 2)
    of_fits = [request.num_bytes(name, most, num_test) for name in request.learners]
    needed, free = lanes * (of_data + max(of_fits)), free_memory()
    if needed > free:
        raise ValueError(
            f"num_train={most}, num_test={num_test} and "
            f"width={request.width} need {needed / 2**30:.1f} GiB for {lanes} seeds at once, and "
            f"{free / 2**30:.1f} GiB are free: lower one of them, set --num_devices 1, or leave "
            "out kernel machines (--learners quad_raw,quad_rep), which hold their Gram matrices "
            "whole"
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
    """The content of summary.json, from what was measured of each learner and what it took."""

    def each(entry) -> dict:
        return {
            name: {str(n): entry(name, f"{name}_{n}") for n in request.num_train}
            for name in request.learners
        }

    def share_dropped(name, run_name):
        shares = measured[run_name].get("dropped")
        return None if shares is None else float(shares.mean())

    dim = request.task.input_dim
    top_of = {name: request.layers(name, dim)[-1] for name in request.learners}
    names = ("num_train", "learners", "representation", "width", "num_directions")
    more = ("dtype", "num_test", "num_seeds", "seed")
    configs = ("task", "quad", "ntk")
    return {
        **{name: dataclasses.asdict(getattr(request, name)) for name in configs},
        **{name: getattr(request, name) for name in (*names, *more)},
        "num_steps": request.quad.num_steps,
        "variance_by_degree": _variance_by_degree(request),
        "test_error": each(lambda _, n: spread(measured[n]["test_error"])),
        "explained_by_degree": each(lambda _, n: measured[n]["explained"].mean(axis=0).tolist()),
        "chosen": each(lambda name, n: described(top_of[name], measured[n])),
        "dropped": each(share_dropped),
        "seconds": each(lambda _, n: seconds[n]),
    }


def _variance_by_degree(request: Request) -> list[float]:
    """Of the targets, 1 in all, mean over seeds."""
    draw = jax.vmap(lambda key: draw_low_rank_polynomial(jax.random.fold_in(key, 0), request.task))
    tasks = draw(seed_keys(request.seed, request.num_seeds))
    squares = jax.vmap(lambda task: task.mean_squares)(tasks).mean(axis=0)
    return [0.0, *squares[1:].tolist()]


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


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import representation_figure

    return representation_figure(folder, POLYNOMIAL_LEARNERS.colours)


EXPERIMENT = LayerwiseExperiment(
    name="neural_representations",
    doc=__doc__,
    request=Request,
    follows={"target": {"mixed": _MIXED}},
    require=require,
    options=options,
    draw=draw,
    learners=learners,
    measures=MEASURES,
    stream=STREAM,
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()

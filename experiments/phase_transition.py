"""At which noise a string loses its class, while low levels of its tree change little by little.

The leaves of a string are blurred, and a tree is drawn from the exact posterior: which of its nodes
are as they were? The class survives up to a critical noise, and is lost the more suddenly, the
deeper the tree is: the transition of diffusion models on such data (arXiv 2402.16991).

    python -m experiments.phase_transition
    python -m experiments.phase_transition --noise_type flip

With the default sizes (C = V = 32, M = 8, S = 2; 4 seeds) expect that half of the classes are lost
at a noise of .699, .715 and .722 for L = 5, 7, 9, where the mean field says .731 for deep trees,
and that it takes .094, .048 and .024 from three quarters to one quarter. It takes two to three
minutes on two cores.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.runner import run
from hierjax.exact import likelihood, observe, sample_derivations
from hierjax.measure import crossing, finite_spread
from hierjax.runs import Measured, Point, SweepExperiment, SweepRequest, require_measured, spec_name
from hierjax.settings import setting
from hierjax.tasks import (
    Noise,
    RandomHierarchy,
    RandomHierarchySpec,
    corrupt,
    draw_random_hierarchy,
    leaf_kernel,
)
from hierjax.theory import critical_noise

_MOST_SIZE = 2**24
# Finer where grammars of the default sizes lose their class.
_PERCENT = {
    "soft": (0, 20, 40, 50, 55, 60, 64, 66, *range(68, 77), 78, 80, 82, 85, 90, 100),
    "flip": (0, 4, 8, 10, *range(12, 23), 24, 26, 30, 40, 60, 100),
    "mask": (0, 10, 15, 18, 20, *range(22, 31), 32, 34, 37, 40, 50, 70, 100),
}
_REQUESTED = ("num_classes", "vocab_size", "num_rules", "branching", "depth", "noise_type", "noise")
_REQUESTED += ("num_strings", "num_seeds", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(SweepRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      num_classes: number of classes of the grammars, C.
      vocab_size: number of symbols at each level below the root, V.
      num_rules: number of rules of each symbol, M.
      branching: number of children of each node, S.
      depth: numbers of levels of the tree, L, ascending.
      noise_type: what noise of rate e does to a leaf: "soft" leaves it as it is, but is evidence of
        only 1 - e + e/V for its symbol and e/V for each other one; "flip" replaces it with
        probability e by a uniform symbol; "mask" erases it with probability e.
      noise: rates of noise, ascending from 0 to 1; unset: finer where the default sizes lose their
        class.
      num_strings: strings that are drawn of each grammar.
      num_seeds: number of seeds; each draws its own grammars and strings.
    """

    num_classes: int = setting(32, least=2, most=_MOST_SIZE)
    vocab_size: int = setting(32, least=1, most=_MOST_SIZE)
    num_rules: int = setting(8, least=1, most=_MOST_SIZE)
    branching: int = setting(2, least=1, most=_MOST_SIZE)
    depth: tuple[int, ...] = setting((5, 7, 9), least=1, most=_MOST_SIZE, ascending=True)
    noise_type: str = setting("soft", choices=tuple(_PERCENT))
    noise: tuple[float, ...] = setting(None, least=0, most=1, ascending=True)
    num_strings: int = setting(256, least=1, most=2**24)
    num_seeds: int = setting(4, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        if self.noise is None:
            self.fill(noise=tuple(each / 100 for each in _PERCENT[self.noise_type]))
        if (self.noise[0], self.noise[-1]) != (0, 1):
            rates = ",".join(map(str, self.noise))
            raise ValueError(f"noise={rates} must go from 0 to 1: add the missing end")
        _ = self.specs  # Sizes that do not fit are refused here.

    @functools.cached_property
    def specs(self) -> tuple[RandomHierarchySpec, ...]:
        """The sizes of the grammars, by depth."""
        sizes = (self.num_classes, self.vocab_size, self.num_rules, self.branching)
        return tuple(RandomHierarchySpec(*sizes, depth) for depth in self.depth)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A point: grammars of one depth at all rates of noise."""

    spec: RandomHierarchySpec
    noise_type: str
    noise: tuple[float, ...]
    num_strings: int

    def draw(self, key: jax.Array) -> RandomHierarchy:
        """The grammar of a seed."""
        return draw_random_hierarchy(jax.random.fold_in(key, 0), self.spec)

    def measure(self, key: jax.Array, grammar: RandomHierarchy) -> dict[str, jax.Array]:
        """The share of nodes that are kept, (noise, levels), and what is open of the class.

        All rates blur the same strings.
        """
        batch = grammar.sample(jax.random.fold_in(key, 1), self.num_strings)
        blur, trees = (jax.random.fold_in(key, stream) for stream in (2, 3))

        def at(index_and_rate):
            index, rate = index_and_rate
            evidence = self._evidence(jax.random.fold_in(blur, index), batch, rate)
            drawn = sample_derivations(grammar, evidence, jax.random.fold_in(trees, index))
            kept = [jnp.mean(a == b) for a, b in zip(drawn.levels, batch.latents, strict=True)]
            classes = likelihood(grammar, evidence).classes
            return {"kept": jnp.stack(kept), "class_error": 1 - classes.max(axis=-1).mean()}

        rates = jnp.asarray(self.noise)
        return jax.lax.map(at, (jnp.arange(len(self.noise)), rates))

    def _evidence(self, key: jax.Array, batch, rate: jax.Array):
        """What is known of the leaves; soft noise leaves them, and knows them as if flipped."""
        noise = Noise(leaf_mask=rate) if self.noise_type == "mask" else Noise(leaf_flip=rate)
        if self.noise_type != "soft":
            batch = corrupt(noise, key, batch, self.spec)
        kernel = leaf_kernel(noise, self.spec.symbols(self.spec.depth))
        return observe(self.spec, batch.inputs, kernel=kernel)


def points(request: Request) -> list[Point]:
    """What the sweep measures: a point for each depth, with all rates."""
    found = []
    for spec in request.specs:
        cell = Cell(spec, request.noise_type, request.noise, request.num_strings)
        work = request.num_strings * len(request.noise) * spec.num_leaves
        found.append(Point(f"depth_{spec.depth}", work, cell.draw, cell.measure))
    return found


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"noise ({request.noise_type}) on random hierarchies "
        f"{', '.join(map(spec_name, request.specs))}: {request.num_strings} strings of each "
        f"grammar, {len(request.noise)} rates, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: dict[str, Measured]) -> dict:
    """The content of summary.json; ValueError if a point could not be measured."""
    require_measured(results)
    depths = {
        str(spec.depth): _of_depth(request, spec, results[f"depth_{spec.depth}"].values)
        for spec in request.specs
    }
    return {
        **{name: getattr(request, name) for name in _REQUESTED},
        "chance": 1 / request.num_classes,
        **depths[str(request.depth[-1])],
        "depths": depths,
    }


def _of_depth(request: Request, spec: RandomHierarchySpec, values: dict[str, np.ndarray]) -> dict:
    """What became of the grammars of one depth."""
    kept, chance = values["kept"], 1 / spec.num_classes  # (seeds, noise, levels)
    classes = kept[:, :, 0].T
    left = (classes - chance) / (classes[:1] - chance)
    # Of sizes e^noise, as crossings are linear in the logarithm.
    early, half, late = (
        np.log(crossing(np.exp(request.noise), left, share)) for share in (0.75, 0.5, 0.25)
    )
    with np.errstate(invalid="ignore"):  # Of seeds with no crossing.
        width = late - early
    return {
        "class_kept": classes.mean(axis=1),
        "class_kept_per_seed": classes,
        "level_kept": kept.mean(axis=0),
        "class_error_bayes": values["class_error"].mean(axis=0),
        "critical_noise": finite_spread(half),
        "width": finite_spread(width),
        "predicted_noise": critical_noise(spec) if request.noise_type == "soft" else None,
    }


def notes(summary: dict) -> list[str]:
    """Where each depth loses its class, and what is kept of the deepest trees' levels."""
    lines = []
    for depth, found in summary["depths"].items():
        noise, width = (_text(found[name]) for name in ("critical_noise", "width"))
        lines.append(f"L = {depth}: half of the classes are lost at noise {noise}, width {width}")
    if summary["predicted_noise"] is not None:
        lines.append(f"in mean field a deep tree loses them at {summary['predicted_noise']:.3f}")
    levels = range(summary["depth"][-1] + 1)
    lines.append(f"kept, L = {levels[-1]}; level" + "".join(f"{each:6d}" for each in levels))
    for rate, kept in zip(summary["noise"], summary["level_kept"], strict=True):
        lines.append(f"{'noise':>13s} {rate:5.3f}" + "".join(f"{each:6.3f}" for each in kept))
    lines.append(
        f"level 0 is the class; width: from three quarters of the way to one; means (std) over "
        f"{summary['num_seeds']} seeds of {summary['num_strings']} strings, on {summary['device']}"
    )
    return lines


def _text(found: dict) -> str:
    if found["mean"] is None:
        return "that is not found"
    return f"{found['mean']:.3f} ({found['std']:.3f})"


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import transition_figure

    return transition_figure(folder)


EXPERIMENT = SweepExperiment(
    name="phase_transition",
    doc=__doc__,
    request=Request,
    points=points,
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()

"""How models learn to take noise off strings, beside the exact denoiser (arXiv 2502.12089).

Tokens are erased, or replaced by uniform ones, and a model is asked for the clean ones: discrete
diffusion. Its cross-entropy on unseen strings is compared with that of exact inference at ten
levels of noise, against the number of train strings and while it trains. A chain of its answers
makes strings of noise, which make sense up to ever higher levels of the tree, and brings back
noisy strings, whose class is lost at a critical noise (arXiv 2402.16991).

    python -m experiments.denoising
    python -m experiments.denoising --models tree,transformer --noises absorbing

With the default sizes (C = V = 16, M = 4, S = 2, L = 4; 4,000 steps, 2 seeds) expect 2.19, 1.25,
1.18 and 1.12 nats a string above the exact denoiser of erased tokens, with 1,024 to 65,536 train
strings, and of what is made of noise shares of .98, .85, .30 and .02 of the nodes that make sense,
from the leaves up. It takes twenty CPU-minutes; see docs/denoising.md.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np

from experiments.denoisers import MEASURES, NUM_LEVELS
from experiments.runner import run
from hierjax.exact import require_unambiguous
from hierjax.measure import crossing, finite_spread, spread
from hierjax.runs import (
    DENOISERS,
    MOST_TRAIN,
    DenoiserSettings,
    DenoisingData,
    GrammarSettings,
    LayerwiseExperiment,
    Results,
    RunRequest,
    Stack,
    denoiser_stack,
    draw_denoising,
    nested,
    spec_name,
    total_seconds,
)
from hierjax.settings import setting
from hierjax.tasks import DIFFUSIONS, Diffusion, RandomHierarchySpec, check_split, require_filled

_REQUESTED = ("noises", "models", "noise_steps", "num_test", "num_samples", "num_seeds", "seed")
_OF_LOOKS = ("curve", "valid", "memorised")
_CONFIGS = ("spec", "grammar", "training", "transformer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest, DenoiserSettings, GrammarSettings):
    """What is asked for; its fields are the flags.

    Attributes:
      spec: sizes of the grammars.
      noises: what takes the place of tokens: a mark ("absorbing"), or uniform symbols ("uniform").
      models: models to train.
      num_train: numbers of train strings, n, ascending; an eighth of them are held out, and choose
        the step at which a model does best.
      noise_steps: steps of noise, in which strings lose all of their tokens; a multiple of 10.
      num_test: number of test strings, on none of which a model is trained.
      num_samples: number of strings that a model makes of noise at every look.
      num_seeds: number of seeds; each draws its own grammar, strings and weights.
    """

    spec: RandomHierarchySpec = nested(
        RandomHierarchySpec, num_classes=16, vocab_size=16, num_rules=4, branching=2, depth=4
    )
    noises: tuple[str, ...] = setting(DIFFUSIONS, choices=DIFFUSIONS)
    models: tuple[str, ...] = setting(("tree",), choices=DENOISERS)
    num_train: tuple[int, ...] = setting(
        (1024, 4096, 16384, 65536), least=2, most=MOST_TRAIN, ascending=True
    )
    noise_steps: int = setting(40, least=NUM_LEVELS, most=2**16)
    num_test: int = setting(128, least=2, most=2**20)
    num_samples: int = setting(128, least=1, most=2**20)
    num_seeds: int = setting(2, least=1, most=2**20)

    def __post_init__(self):
        super().__post_init__()
        if self.noise_steps % NUM_LEVELS:
            raise ValueError(
                f"noise_steps={self.noise_steps} must be a multiple of {NUM_LEVELS}, the levels "
                "of noise that are measured"
            )
        require_unambiguous(self.seen)
        check_split(self.spec.num_strings, self.num_train[-1], self.num_test)

    @functools.cached_property
    def diffusions(self) -> dict[str, Diffusion]:
        """The kinds of noise by name."""
        num_symbols = self.seen.symbols(self.seen.depth)
        return {name: Diffusion(name, num_symbols, self.noise_steps) for name in self.noises}

    @functools.cached_property
    def points(self) -> dict[str, tuple[str, str, int]]:
        """Model, noise and number of train strings of each learner, by its name."""
        return {
            f"{model}_{noise}_{n}": (model, noise, n)
            for model in self.models
            for noise in self.noises
            for n in self.num_train
        }


def draw(key: jax.Array, request: Request) -> DenoisingData:
    """The grammar of a seed, its strings, and what exact inference says of them."""
    sizes = (request.num_train[-1], request.num_test, request.num_samples, NUM_LEVELS)
    return draw_denoising(key, request.spec, request.diffusions, *sizes, request.grammar)


def learners(request: Request) -> dict[str, Stack]:
    """Each model on each kind of noise and each number of train strings."""

    def stack(model: str, kind: str, num_train: int) -> Stack:
        noise = request.diffusions[kind]
        module = DENOISERS[model].make(request.seen, noise, request)
        return denoiser_stack(module, request.training, noise, num_train, request.num_samples)

    return {name: stack(*point) for name, point in request.points.items()}


def headline(request: Request) -> str:
    """What is about to be run."""
    return (
        f"{' and '.join(request.noises)} noise on random hierarchies {spec_name(request.spec)}: "
        f"{', '.join(request.models)}, {request.training.num_steps} steps on "
        f"{', '.join(map(str, request.num_train))} strings, {request.num_seeds} seeds"
    )


def summarize(request: Request, results: Results) -> dict:
    """The content of summary.json; lists over levels of the tree begin at the leaves."""
    measured = {name: layers[0].measured for name, layers in results.items()}
    first = next(iter(measured.values()))
    require_filled(first["num_unseen"].astype(int), request.num_test)
    exacts = {noise: measured[name]["exact"] for name, (_, noise, _) in request.points.items()}
    return {
        **{name: getattr(request, name) for name in _REQUESTED},
        **{name: dataclasses.asdict(getattr(request, name)) for name in _CONFIGS},
        "tree_width": request.tree_width,
        "noise": _rates(),
        "exact": {
            noise: {
                "floor": each["floor"].mean(axis=0),
                "valid": each["valid"].mean(axis=0),
                **_kept(request, each["kept"]),
            }
            for noise, each in exacts.items()
        },
        "points": [
            _point(request, *request.points[name], each["excess"], each["found"])
            for name, each in measured.items()
        ],
        "seconds": {name: total_seconds(layers) for name, layers in results.items()},
    }


def _rates() -> np.ndarray:
    return np.arange(1, NUM_LEVELS + 1) / NUM_LEVELS


def _point(
    request: Request, model: str, noise: str, num_train: int, excess: np.ndarray, found: dict
) -> dict:
    """A model under a noise on a number of strings, at the look that does best and at all."""
    steps, looks = np.array(request.training.steps_of_looks), found["held_out"].argmin(axis=1)
    best = {name: found[name][np.arange(request.num_seeds), looks] for name in _OF_LOOKS}
    return {
        "model": model,
        "noise": noise,
        "num_train": num_train,
        "steps": steps[looks],
        "excess": spread(excess),
        "excess_by_noise": best["curve"].mean(axis=0),
        "valid": best["valid"].mean(axis=0),
        "valid_per_seed": best["valid"],
        "memorised": spread(best["memorised"]),
        **_kept(request, found["kept"]),
        "curve": {
            "steps": steps,
            "excess": found["curve"].mean(axis=2),
            "excess_by_noise": found["curve"].mean(axis=0),
            "valid": found["valid"].mean(axis=0),
            "memorised": found["memorised"].mean(axis=0),
        },
    }


def _kept(request: Request, kept: np.ndarray) -> dict:
    """Of (seeds, noise, levels), and at which noise half of the classes are lost."""
    chance = 1 - request.grammar.chance_error(request.spec)
    classes = np.concatenate([np.ones((1, len(kept))), kept[:, :, -1].T])
    left = (classes - chance) / (1 - chance)
    # Of sizes e^noise, as crossings are linear in the logarithm.
    half = np.log(crossing(np.exp([0, *_rates()]), left, 0.5))
    return {"kept": kept.mean(axis=0), "class_lost_at": finite_spread(half)}


def notes(summary: dict) -> list[str]:
    """Each point beside the exact denoiser."""

    def row(title: str, values, lost) -> str:
        at = "       -" if lost["mean"] is None else f"{lost['mean']:8.3f}"
        return f"{title:36s}{at}  |" + "".join(f"{each:6.3f}" for each in values)

    title = "half of the classes lost at a noise of"
    lines = [f"{title:44s}  | share of nodes that make sense, lowest level first"]
    for noise, each in summary["exact"].items():
        lines.append(row(f"{noise}: exact denoiser", each["valid"], each["class_lost_at"]))
        for point in summary["points"]:
            if point["noise"] == noise:
                name = f"  {point['model']}, n = {point['num_train']}"
                known = f"; train strings {point['memorised']['mean']:.3f}"
                lines.append(row(name, point["valid"], point["class_lost_at"]) + known)
    lines.append(
        f"means over {summary['num_seeds']} seeds, {summary['num_test']} unseen strings and "
        f"{summary['num_samples']} samples each, on {summary['device']}"
    )
    return lines


def figure(folder: Path):
    """The figure of a run folder; matplotlib is imported only when it is drawn."""
    from hierjax.plots import denoising_figure

    return denoising_figure(folder)


EXPERIMENT = LayerwiseExperiment(
    name="denoising",
    doc=__doc__,
    request=Request,
    draw=draw,
    learners=learners,
    measures=MEASURES,
    shown="excess",
    headline=headline,
    summarize=summarize,
    notes=notes,
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()

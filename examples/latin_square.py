"""A control: a Latin square hides the class from single patches, so layer by layer nothing learns.

    python -m examples.latin_square

Expect the test error of guessing, 0.75, after every layer, in a quarter of a minute on two cores.
"""

import dataclasses
import functools

from matplotlib.figure import Figure

from experiments.runner import run
from hierjax import measure, plots, runs, settings, tasks, train

SPEC, DRAW = tasks.RandomHierarchySpec(4, 8, 4, 2, 3), tasks.GrammarDraw(top_rule="latin_square")
LAYERS, MEASURES = train.patch_layers(SPEC), runs.measures()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(runs.RunRequest):
    """What is asked for; its fields are the flags.

    Attributes:
      num_train: number of train strings.
    """

    num_train: int = settings.setting(1024, least=16, most=2**13)


@MEASURES.add("test_error", column="test error (worst)", text=runs.ERROR)
def test_error(layers, data, below, params):
    """Share of unseen strings whose class is wrong."""
    scores = train.class_scores(layers, (*below, params), data.test.inputs)
    return measure.error_rate(scores, data.test.labels)


def figure(folder):
    """Error after each layer."""
    layers, drawn = plots.style.read_summary(folder)["measures"]["layerwise"], Figure()
    drawn.subplots().plot([layer["test_error"]["mean"] for layer in layers], "o-")
    return drawn


EXPERIMENT = runs.LayerwiseExperiment(
    name="latin_square",
    doc=__doc__,
    request=Request,
    draw=lambda key, asked: runs.draw_strings(key, SPEC, asked.num_train, 500, DRAW),
    learners=lambda asked: {"layerwise": runs.Stack(LAYERS, lambda data, index: data.train)},
    measures=MEASURES,
    headline=lambda asked: f"{asked.num_train} strings each of {asked.num_seeds} Latin squares",
    summarize=lambda asked, results: {"num_seeds": asked.num_seeds, "chance_error": 0.75},
    notes=lambda summary: [f"chance {summary['chance_error']}, on {summary['device']}"],
    figure=figure,
)
main = functools.partial(run, EXPERIMENT)

if __name__ == "__main__":
    main()

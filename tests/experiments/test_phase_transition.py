import itertools

import jax
import numpy as np
import pytest

from experiments import phase_transition
from hierjax.exact import enumerate_language
from hierjax.tasks import RandomHierarchySpec
from hierjax.theory import critical_noise
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, lines_of

BAD = {
    "--noise=0,.5,1.5": "noise=0.0,0.5,1.5 must be numbers from 0 to 1",
    "--noise=0,.5,.1,1": "noise=0.0,0.5,0.1,1.0 must be numbers",
    "--noise=0,.5": "noise=0.0,0.5 must go from 0 to 1: add the missing end",
    "--noise=.5,1": "noise=0.5,1.0 must go from 0 to 1: add the missing end",
    "--noise_type=loud": "value should be one of <soft|flip|mask>",
    "--num_strings=0": "num_strings=0 must be from 1 to",
    "--num_classes=1": "num_classes=1 must be from 2 to",
    "--depth=3,2": "depth=3,2 must be numbers",
    "--num_rules=33": "level 0 needs 32 symbols * 33 rules = 1056 distinct tuples",
}
BY_HAND = RandomHierarchySpec(4, 4, 2, 2, 2)


def enumerated(grammar, noise_type, rate):
    """What is kept of each level, and the open share of the class: sums over all strings."""
    language, spec = enumerate_language(grammar), grammar.spec
    strings, prior = language.levels[-1], np.exp(language.log_probabilities)
    num_symbols = spec.symbols(spec.depth)
    kernel = (1 - rate) * np.eye(num_symbols) + rate / num_symbols
    if noise_type == "mask":
        kernel = np.c_[(1 - rate) * np.eye(num_symbols), np.full(num_symbols, rate)]
    seen = strings
    if noise_type != "soft":
        seen = np.array(list(itertools.product(range(kernel.shape[1]), repeat=spec.num_leaves)))
    weights = kernel[strings[:, None], seen[None]].prod(axis=-1)  # (strings, seen)
    occurs = np.diag(prior) if noise_type == "soft" else prior[:, None] * weights
    given = prior[:, None] * weights
    given /= np.maximum(given.sum(axis=0), 1e-300)  # Of what is never seen, zeros.
    same = [(nodes[:, None] == nodes[None]).mean(axis=-1) for nodes in language.levels]
    kept = np.array([(occurs * (each @ given)).sum() for each in same])
    classes = np.eye(spec.num_classes)[language.levels[0][:, 0]].T @ given
    return kept, 1 - (occurs.sum(axis=0) * classes.max(axis=0)).sum()


@pytest.mark.parametrize("noise_type", ["soft", "flip", "mask"])
def test_what_is_kept_against_all_strings_of_a_language(noise_type):
    """Within four standard errors, or of what they are at most: nodes of a tree are not apart."""
    n, rates = 4000, (0.0, 0.4, 0.8, 1.0)
    cell = phase_transition.Cell(RandomHierarchySpec(3, 3, 2, 2, 2), noise_type, rates, n)
    grammar = cell.draw(jax.random.key(1))
    found = jax.jit(cell.measure)(jax.random.key(2), grammar)
    for rate, kept, error in zip(rates, found["kept"], found["class_error"], strict=True):
        expected, open_share = enumerated(grammar, noise_type, rate)
        errors = np.sqrt(np.maximum(expected * (1 - expected), 0) / n)
        assert (np.abs(kept - expected) < 4 * errors + 1e-6).all(), rate
        # A share between 0 and 2/3 has a standard deviation of at most 1/3.
        assert error == pytest.approx(open_share, abs=4 / 3 / np.sqrt(n))


def test_transition_of_curves_by_hand():
    request = phase_transition.Request(noise=(0, 0.2, 0.4, 0.8, 1), num_seeds=3)
    classes = np.array(
        [
            [1, 1, 0.25, 0.25, 0.25],  # A line from 0.2 to 0.4.
            [1, 0.85, 0.7, 0.4, 0.25],  # A line from 0 to 1.
            [1, 1, 1, 1, 1],
        ]
    )
    values = {"kept": np.stack([classes] * 3, axis=-1), "class_error": 1 - classes}
    found = phase_transition._of_depth(request, BY_HAND, values)
    critical, width = found["critical_noise"], found["width"]
    np.testing.assert_allclose(critical["per_seed"], [0.3, 0.5, np.inf])
    np.testing.assert_allclose(width["per_seed"][:2], [0.1, 0.5])
    assert critical["mean"] == pytest.approx(0.4)
    assert width["mean"] == pytest.approx(0.3)
    assert critical["num_infinite"] == width["num_infinite"] == 1


class TestPhaseTransition(ExperimentLaws):
    name = "phase_transition"
    flags = (
        "--num_classes=4",
        "--vocab_size=4",
        "--num_rules=2",
        "--depth=1,2",
        "--num_strings=400",
        "--noise=0,.4,.8,1",
        "--num_seeds=2",
    )
    bad = BAD

    def test_without_noise_all_is_kept_and_with_nothing_else_chance(self, finished):
        summary = jobs.summary_of(finished[0])
        assert list(summary["depths"]) == ["1", "2"]
        for depth, found in summary["depths"].items():
            kept = np.array(found["level_kept"])
            assert kept.shape == (4, int(depth) + 1)
            assert (kept[0] == 1).all()
            assert kept[:, 0].tolist() == found["class_kept"]
            np.testing.assert_allclose(
                np.mean(found["class_kept_per_seed"], axis=1), found["class_kept"]
            )
            # Four standard errors of 800 strings.
            assert found["class_kept"][-1] == pytest.approx(0.25, abs=4 * np.sqrt(0.1875 / 800))
            assert found["class_error_bayes"][-1] == pytest.approx(0.75, abs=1e-5)
            assert found["class_error_bayes"][0] == pytest.approx(0, abs=1e-6)
            assert found["critical_noise"]["mean"] == np.mean(found["critical_noise"]["per_seed"])
            assert 0.4 < found["critical_noise"]["mean"] < 0.8
            assert found["predicted_noise"] == critical_noise(RandomHierarchySpec(4, 4, 2, 2, 2))
        deepest = summary["depths"]["2"]
        assert {name: summary[name] for name in deepest} == deepest

    def test_only_soft_noise_is_predicted(self):
        request = phase_transition.Request(noise_type="mask", num_seeds=1)
        kept = np.linspace(1, 0, len(request.noise))[None, :, None]
        values = {"kept": kept, "class_error": 1 - kept[..., 0]}
        assert phase_transition._of_depth(request, BY_HAND, values)["predicted_noise"] is None

    def check_figure(self, axes, summary):
        classes, levels, transitions = axes
        assert legend_of(classes) == ["1", "2"]
        assert legend_of(levels) == ["0, the class", "1", "2, the leaves"]
        drawn = [line.get_ydata() for line in classes.lines if line.get_label() in ("1", "2")]
        expected = [each["class_kept"] for each in summary["depths"].values()]
        np.testing.assert_allclose(drawn, expected)
        rows = [line.get_ydata() for line in levels.lines if len(line.get_xdata()) == 4]
        np.testing.assert_allclose(rows, np.transpose(summary["level_kept"]))
        for axis in axes:
            (line,) = lines_of(axis, "tab:red")
            assert summary["predicted_noise"] in (*line.get_xdata(), *line.get_ydata())
        points = [line.get_ydata() for line in transitions.lines if line.get_marker() == "o"]
        seeds = [each["critical_noise"]["per_seed"] for each in summary["depths"].values()]
        np.testing.assert_allclose(points, seeds)

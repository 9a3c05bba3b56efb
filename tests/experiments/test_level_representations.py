import jax
import numpy as np
import pytest

from hierjax.runs import draw_trees
from hierjax.tasks import RandomHierarchySpec, next_token
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, legend_of, ticks_of

BAD = {
    "--num_rules=1": "num_rules=(1, 1, 1) leaves no other one to draw: give 2 or more",
    "--num_classes=1": "num_classes=(1,) leaves no other one to draw: give 2 or more",
    "--train_multiple=300": "num_train=153600 is larger than the language of 131072 strings",
    "--learning_rates=0.1,0.2": "learning_rates=(0.1, 0.2) would be compared first",
    "--learners=shallow": "learners",
    "--transformer_num_heads=3": "num_heads=3 must divide width=64",
    "--num_test=8": "num_test=8 must be from 16 to 65536",
}
SPEC = RandomHierarchySpec(3, (4, 5), (3, 2), (2, 3), 2)


@pytest.fixture(scope="module")
def data():
    draw = jax.jit(draw_trees, static_argnums=(1, 2, 3))
    return draw(jax.random.key(0), SPEC, 10, 20)


def test_changed_strings_are_those_of_each_node_lowest_level_first(data):
    assert [rules.shape for rules in data.rules] == [(2, 20, 6), (1, 20, 6)]
    assert [symbols.shape for symbols in data.symbols] == [(6, 20, 6), (2, 20, 6), (1, 20, 6)]
    differs = np.asarray(data.symbols[0] != data.test.inputs[None])
    np.testing.assert_array_equal(
        differs, np.broadcast_to(np.eye(6, dtype=bool)[:, None], (6, 20, 6))
    )
    left = np.asarray(data.rules[0][0] != data.test.inputs)
    assert left[:, :3].any(axis=1).all()
    assert not left[:, 3:].any()
    seen = data.for_tokens
    np.testing.assert_array_equal(seen.rules[0][1], next_token(data.rules[0][1], 5).inputs)


def test_patches_stand_for_nodes_that_share_leaves_and_tokens_for_those_that_are_over(data):
    assert data.stand_for(2, 6).tolist() == [[True, False]] * 3 + [[False, True]] * 3
    assert data.stand_for(2, 1).tolist() == [[True, True]]
    over = data.for_tokens.stand_for(6, 2)
    assert over.tolist() == [[False] * 3 + [True] * 3, [False] * 6]


class TestLevelRepresentations(ExperimentLaws):
    name = "level_representations"
    flags = (
        "--num_classes=6",
        "--vocab_size=6",
        "--num_rules=4",
        "--depth=2",
        "--train_multiple=3",
        "--num_test=64",
        "--num_steps=300",
        "--width=32",
        "--transformer_width=8",
        "--transformer_num_blocks=1",
        "--transformer_num_heads=2",
        "--token_num_steps=40",
        "--token_num_looks=3",
        "--num_seeds=2",
        "--activations",
    )
    fewer = ("--learners=layerwise",)
    bad = BAD

    def test_layers_are_blind_to_the_rules_of_what_they_have_found(self, finished):
        learners = jobs.summary_of(finished[0])["learners"]
        assert set(learners) == {"layerwise", "end_to_end", "transformer"}
        first, second = learners["layerwise"]["layers"]
        assert first["rule"][0]["max"] < 0.6 < 0.8 < first["rule"][1]["mean"]
        assert second["rule"][1]["max"] < 0.8 < second["symbol"][2]["mean"]
        assert first["probe"][1]["mean"] > 0.9
        assert first["rule_cosine"][0]["mean"] > 0.5 > first["symbol_cosine"][1]["mean"]

    def test_networks_are_looked_at_from_the_start(self, finished):
        learners = jobs.summary_of(finished[0])["learners"]
        growth = learners["end_to_end"]["growth"]
        assert (growth["steps"][0], growth["steps"][-1]) == (0, 300)
        last = [layer["rule"] for layer in learners["end_to_end"]["layers"]]
        means = [[level["mean"] for level in layer] for layer in last]
        np.testing.assert_allclose(growth["rule"][-1], means, rtol=1e-4)

    def test_attention_is_shared_out(self, finished):
        summary = jobs.summary_of(finished[0])
        attention = np.array(summary["learners"]["transformer"]["attention"])
        assert attention.shape == (1, 2, 3)
        np.testing.assert_allclose(attention.sum(axis=2), 1, rtol=1e-4)
        # Of 1, 2, 3 and 4 positions that are seen one each is the start, and one or none a sibling.
        uniform = np.array(
            [(1 / 2 + 1 / 4) / 4, (2 / 3 + 2 / 4) / 4, (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4]
        )
        np.testing.assert_allclose(summary["uniform_attention"], uniform, rtol=1e-5)

    def test_activations_come_with_their_trees(self, finished):
        with np.load(finished[0] / "activations.npz") as arrays:
            assert arrays["layerwise_1"].shape[:2] == arrays["level_1"].shape == (64, 2)
            assert arrays["transformer_1"].shape == (64, 4, 8)
            np.testing.assert_array_equal(arrays["inputs"], arrays["level_2"])

    def check_figure(self, axes, summary):
        maps, (end_to_end, transformer, attention) = axes[:15], axes[15:]
        layers = summary["learners"]["layerwise"]["layers"]
        shown = maps[0].images[0].get_array()
        expected = [[level["mean"] for level in layer["probe"]] for layer in layers]
        np.testing.assert_allclose(shown, expected)
        assert ticks_of(maps[0].get_xticklabels()) == ["2", "1", "0"]
        assert [len(axis.patches) for axis in maps[::5]] == [2, 2, 0]
        assert legend_of(end_to_end) == ["level 0", "level 1"]
        assert legend_of(transformer) == ["level 1"]  # Nothing comes after the root is complete.
        assert ticks_of(attention.get_xticklabels()) == ["1", "2", "start"]

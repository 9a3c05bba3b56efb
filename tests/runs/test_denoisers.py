import jax
import jax.numpy as jnp
import numpy as np

from hierjax.runs import DENOISERS, DenoiserSettings, levels_of_noise, parsed, share_kept
from hierjax.tasks import Diffusion, RandomHierarchySpec, draw_random_hierarchy
from hierjax.train import TokenTraining, TransformerConfig

SPEC = RandomHierarchySpec(4, 5, 2, 2, 2)
GRAMMAR = draw_random_hierarchy(jax.random.key(0), SPEC)
NOISE = Diffusion("uniform", 5, 20)


def test_what_is_clean_is_kept_and_what_makes_no_sense_is_not():
    clean = GRAMMAR.sample(jax.random.key(1), 8)
    made = {tuple(rule) for rules in GRAMMAR.rules[1].tolist() for rule in rules}
    nothing = next((a, b) for a in range(5) for b in range(5) if (a, b) not in made)
    broken = clean.inputs.at[:, :2].set(jnp.array(nothing, jnp.uint8))
    both = jnp.concatenate([clean.inputs, broken])
    levels = parsed(GRAMMAR, both)
    for found, symbols in zip(levels, clean.latents, strict=True):
        np.testing.assert_array_equal(found[:8], symbols)
    assert (levels[0][8:] == -1).all()
    np.testing.assert_array_equal(levels[1][8:, 0], -1)
    kept = np.asarray(share_kept(levels, clean, 2))
    np.testing.assert_array_equal(kept[0], 1)
    np.testing.assert_array_equal(kept[1, 1:], [0.5, 0])
    assert 0.5 <= kept[1, 0] < 1


def test_every_model_reads_steps_and_scores_all_tokens():
    inputs, _ = NOISE.examples(jax.random.key(2), GRAMMAR.sample(jax.random.key(3), 5).inputs)
    transformer = TransformerConfig(width=8, num_heads=2)
    settings = DenoiserSettings(training=TokenTraining(), tree_width=8, transformer=transformer)
    for name, model in DENOISERS.items():
        module = model.make(SPEC, NOISE, settings)
        variables = jax.jit(module.init)(jax.random.key(4), inputs)
        apply = jax.jit(module.apply)
        scores = apply(variables, inputs)
        assert scores.shape == (5, 5, 5), name
        later = apply(variables, inputs.at[:, 0].set(6 + (inputs[:, 0] - 5) % 20))
        assert (scores != later)[:, 1:].any(axis=2).all(), name


def test_levels_of_noise_are_even_shares_up_to_all():
    rates = NOISE.rates(levels_of_noise(NOISE, 10))
    np.testing.assert_allclose(rates, np.arange(1, 11) / 10, rtol=1e-6)

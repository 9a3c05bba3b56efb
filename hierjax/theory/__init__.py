"""Theory: what is predicted of learners, in closed form.

random_hierarchy.py   Random hierarchy models (arXiv 2307.02129): predicted_num_train, the number
                      of examples that a deep network needs; class_signal, the correlation of
                      a symbol with the class; critical_noise, at which the class is lost;
                      predicted_token_steps, of models of tokens;
                      predicted_clustering_strings, by which a tree is found without classes.
correlations.py       What pairs tell, of a grammar: class_tokens, token_pairs; over random
                      grammars: token_correlation; sampling_noise.
first_patches.py      What layerwise learning asks of a grammar (arXiv 2601.19756): first_patches,
                      FirstPatches (its result).
brain_dump.py         How gates are recovered from majorities of them (arXiv 2601.00455):
                      vote_weight, vote_coefficients, estimate_vote_coefficients,
                      recovery_coefficients; gate_recovery and recovery_by_votes
                      measure it.
rare_rules.py         Rules of unequal frequency (arXiv 2505.07067): zipf_shares, missing_mass;
                      strings_of_rules, from which each is learned; rare_rule_error.
kernels.py            Kernels of infinitely wide networks, NNGP and NTK: fully_connected_kernels,
                      Kernels (its result), EXPECTATIONS (the activations that it knows).
"""

from hierjax.theory.brain_dump import (
    estimate_vote_coefficients,
    gate_recovery,
    recovery_by_votes,
    recovery_coefficients,
    vote_coefficients,
    vote_weight,
)
from hierjax.theory.correlations import (
    class_tokens,
    sampling_noise,
    token_correlation,
    token_pairs,
)
from hierjax.theory.first_patches import FirstPatches, first_patches
from hierjax.theory.kernels import EXPECTATIONS, Kernels, fully_connected_kernels
from hierjax.theory.random_hierarchy import (
    class_signal,
    critical_noise,
    predicted_clustering_strings,
    predicted_num_train,
    predicted_token_steps,
)
from hierjax.theory.rare_rules import (
    missing_mass,
    rare_rule_error,
    strings_of_rules,
    zipf_shares,
)

__all__ = [
    "EXPECTATIONS",
    "FirstPatches",
    "Kernels",
    "class_signal",
    "class_tokens",
    "critical_noise",
    "estimate_vote_coefficients",
    "first_patches",
    "fully_connected_kernels",
    "gate_recovery",
    "missing_mass",
    "predicted_clustering_strings",
    "predicted_num_train",
    "predicted_token_steps",
    "rare_rule_error",
    "recovery_by_votes",
    "recovery_coefficients",
    "sampling_noise",
    "strings_of_rules",
    "token_correlation",
    "token_pairs",
    "vote_coefficients",
    "vote_weight",
    "zipf_shares",
]

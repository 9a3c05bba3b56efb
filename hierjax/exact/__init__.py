"""Exact inference: what is known of a string's tree, given evidence of any kind.

evidence.py       Evidence of leaves and latents: observe (strings that are seen whole, in part or
                  through noise), weigh (weights given by hand), require_evidence; NEVER, the
                  logarithm of zero.
inside.py         likelihood of evidence, and of the class given it: a Likelihood; require_possible
                  refuses evidence of probability zero.
posteriors.py     posteriors of every node (Posteriors); sample_derivations, best_derivations: trees
                  (Derivations).
denoising.py      denoised: clean tokens given noisy strings, each after a step of its own;
                  observe_noisy, their evidence.
chart.py          Context-free grammars: chart_likelihood, chart_next_tokens.
conditionals.py   What a leaf is given others (Conditionals): next_tokens, other_tokens.
parsing.py        parse of complete strings without noise, by looking tuples up: a Parse;
                  derivable, up to which node any string makes sense; require_unambiguous.
entropies.py      entropies of nodes and of levels given evidence (Entropies).
floors.py         Bayes floors by Monte Carlo: class_floor, denoising_floor, masked_floor,
                  next_token_floor; a Floor is two values, each an Estimate.
enumeration.py    All strings of a small language, the oracle: enumerate_language (a Language),
                  enumerate_posteriors.
recursion.py      The inside recursion that all of these run; not re-exported.
semirings.py      Its sums: log_sum, largest, drawn.
"""

from hierjax.exact.chart import chart_likelihood, chart_next_tokens
from hierjax.exact.conditionals import Conditionals, next_tokens, other_tokens
from hierjax.exact.denoising import denoised, observe_noisy
from hierjax.exact.entropies import Entropies, entropies
from hierjax.exact.enumeration import Language, enumerate_language, enumerate_posteriors
from hierjax.exact.evidence import NEVER, Evidence, observe, require_evidence, weigh
from hierjax.exact.floors import (
    Estimate,
    Floor,
    class_floor,
    denoising_floor,
    masked_floor,
    next_token_floor,
)
from hierjax.exact.inside import Likelihood, likelihood, require_possible
from hierjax.exact.parsing import Parse, derivable, parse, require_unambiguous
from hierjax.exact.posteriors import (
    Derivations,
    Posteriors,
    best_derivations,
    posteriors,
    sample_derivations,
)
from hierjax.exact.semirings import drawn, largest, log_sum

__all__ = [
    "NEVER",
    "Conditionals",
    "Derivations",
    "Entropies",
    "Estimate",
    "Evidence",
    "Floor",
    "Language",
    "Likelihood",
    "Parse",
    "Posteriors",
    "best_derivations",
    "chart_likelihood",
    "chart_next_tokens",
    "class_floor",
    "denoised",
    "denoising_floor",
    "derivable",
    "drawn",
    "entropies",
    "enumerate_language",
    "enumerate_posteriors",
    "largest",
    "likelihood",
    "log_sum",
    "masked_floor",
    "next_token_floor",
    "next_tokens",
    "observe",
    "observe_noisy",
    "other_tokens",
    "parse",
    "posteriors",
    "require_evidence",
    "require_possible",
    "require_unambiguous",
    "sample_derivations",
    "weigh",
]

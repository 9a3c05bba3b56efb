"""All strings of a small language with their probabilities: the oracle of exact inference."""

from typing import NamedTuple

import numpy as np

from hierjax.exact.evidence import Evidence, require_evidence
from hierjax.tasks.random_hierarchy import RandomHierarchy

_MOST_STRINGS = 2**20


class Language(NamedTuple):
    """All strings of a grammar, one for each derivation.

    Attributes:
      levels: for each level l from 0 to L, (number of strings, P_l) int64 symbols of its nodes.
      log_probabilities: (number of strings,) float64; -inf of what has a rule of probability zero.
    """

    levels: tuple[np.ndarray, ...]
    log_probabilities: np.ndarray

    def log_joint(self, evidence: Evidence) -> np.ndarray:
        """Returns (N, number of strings) float64 log-probabilities of string and evidence."""
        logs = np.broadcast_to(
            self.log_probabilities, (len(evidence.leaves), self.log_probabilities.size)
        )
        latents = evidence.latents or (None,) * (len(self.levels) - 1)
        for symbols, each in zip(self.levels, (*latents, evidence.leaves), strict=True):
            if each is not None:
                nodes = np.arange(symbols.shape[1])
                logs = logs + np.asarray(each, np.float64)[:, nodes, symbols].sum(axis=-1)
        return logs


def enumerate_language(grammar: RandomHierarchy) -> Language:
    """Lists all strings of a small grammar with their trees and probabilities, on the host.

    Raises:
      ValueError: there are more than 2^20 strings.
    """
    spec = grammar.spec
    if spec.num_strings > _MOST_STRINGS:
        raise ValueError(
            f"the language has {spec.num_strings:.4g} strings, more than {_MOST_STRINGS}: "
            "lower num_rules or depth, or use posteriors"
        )
    levels = [np.arange(spec.num_classes)[:, None]]
    logs = _logs(grammar.class_prior, (1, spec.num_classes))[0]
    for level, table in enumerate(grammar.rules):
        table = np.asarray(table, np.int64)
        given = None if grammar.rule_probabilities is None else grammar.rule_probabilities[level]
        rules = _logs(given, table.shape[:2])
        nodes, num_rules = spec.nodes(level), spec.num_rules[level]
        choices = np.indices((num_rules,) * nodes).reshape(nodes, -1).T
        # Every tree so far with every choice of its nodes' rules.
        levels = [np.repeat(each, len(choices), axis=0) for each in levels]
        chosen = np.tile(choices, (len(logs), 1))
        logs = np.repeat(logs, len(choices)) + rules[levels[-1], chosen].sum(axis=1)
        levels.append(table[levels[-1], chosen].reshape(len(logs), -1))
    return Language(tuple(levels), logs)


def enumerate_posteriors(
    grammar: RandomHierarchy, evidence: Evidence
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Computes what `posteriors` computes, by adding up all strings in float64, on the host.

    Args:
      grammar: a grammar of few strings.
      evidence: the evidence.

    Returns:
      (N,) log-likelihoods, and for each level l from 0 to L (N, P_l, V_l) probabilities.

    Raises:
      ValueError: the language is too large, or the evidence does not match the grammar.
    """
    require_evidence(grammar.spec, evidence)
    language = enumerate_language(grammar)
    logs = language.log_joint(evidence)
    most = logs.max(axis=1, keepdims=True)
    shares = np.exp(logs - most)
    totals = shares.sum(axis=1, keepdims=True)
    levels = []
    for level, symbols in enumerate(language.levels):
        hot = symbols[..., None] == np.arange(grammar.spec.symbols(level))
        levels.append(np.einsum("nx,xpv->npv", shares / totals, hot.astype(float)))
    return (most + np.log(totals))[:, 0], levels


def _logs(probabilities, shape: tuple[int, ...]) -> np.ndarray:
    if probabilities is None:
        return np.full(shape, -np.log(shape[-1]))
    table = np.asarray(probabilities, np.float64).reshape(shape)
    with np.errstate(divide="ignore"):
        return np.log(table / table.sum(axis=-1, keepdims=True))

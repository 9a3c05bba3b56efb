"""How gates are recovered from the majorities that they vote in (arXiv 2601.00455).

Each label is the sign of a sum of k gates, some of them negated: a signed majority vote. Over
random signs w of its k members, E[w sign(w . x)] is a multiple of the gates x of these members, for
every x: labels that are added up with their votes point to the gates, however these are biased or
depend on each other, if there are enough labels.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key

from hierjax.checks import (
    require_examples,
    require_integers,
    require_numbers,
    require_shape,
    require_signs,
)
from hierjax.tasks.circuits import BrainDump, BrainDumpSpec, draw_brain_dump

_draw = jax.jit(draw_brain_dump, static_argnames="spec")


def vote_weight(votes: int) -> float:
    """Returns the mean product of one vote and the majority that it is part of, over random signs.

    It is binom(k - 1, (k - 1) / 2) / 2^(k - 1), whatever the gates that vote.

    Args:
      votes: number of votes, k, an odd number.

    Raises:
      ValueError: the number is even, for which there are ties, or below 1.
    """
    if votes < 1 or votes % 2 == 0:
        raise ValueError(f"votes={votes} must be an odd number, at least 1")
    return math.comb(votes - 1, (votes - 1) // 2) / 2 ** (votes - 1)


def vote_coefficients(
    members: Int[Array | np.ndarray, "K votes"],
    signs: Float[Array | np.ndarray, "K votes"],
    num_gates: int,
) -> Float[np.ndarray, "K G"]:
    """Returns what each gate contributes to each label, a mean over the signs of the votes.

    For independent, unbiased gates these are also the least-squares coefficients of any signs.

    Args:
      members: (K, k) int, the k gates that vote on each of the K labels of a level.
      signs: (K, k) signs with which these gates vote.
      num_gates: number of gates of the level, G.

    Returns:
      (K, G) float64 coefficients of the linear part of the labels.

    Raises:
      ValueError: members and signs differ in shape, a member is no gate or votes twice, or a sign
        is none.
    """
    require_shape("members", members, (None, None), "give (K, votes) numbers of gates")
    require_integers("members", members, num_gates, "gates")
    require_signs(signs, members.shape)
    if (np.diff(np.sort(members, axis=1), axis=1) == 0).any():
        raise ValueError("members have a gate twice in a row: give different gates")
    coefficients = np.zeros((len(members), num_gates))
    np.put_along_axis(coefficients, np.asarray(members), np.asarray(signs), axis=1)
    return coefficients * vote_weight(members.shape[1])


def estimate_vote_coefficients(
    gates: Float[Array | np.ndarray, "N G"], labels: Float[Array | np.ndarray, "N K"]
) -> Float[np.ndarray, "K G"]:
    """Estimates what each gate contributes to each label, from examples by least squares.

    For gates that are biased or depend on each other they are others than `vote_coefficients`.

    Args:
      gates: (N, G) signs of the gates of a level in N examples.
      labels: (N, K) signs of the labels of this level.

    Returns:
      (K, G) float64 coefficients of the linear part of the labels.

    Raises:
      ValueError: gates and labels are not of as many examples, at least one, or not finite.
    """
    require_shape("gates", gates, (None, None), "give the signs of the gates, (N, G)")
    require_shape("labels", labels, (gates.shape[0], None), "give labels of each example, (N, K)")
    require_examples(gates, labels)
    require_numbers("labels", labels)
    gates, labels = np.asarray(gates, np.float64), np.asarray(labels, np.float64)
    centered = gates - gates.mean(axis=0)
    solution, *_ = np.linalg.lstsq(centered, labels - labels.mean(axis=0), rcond=None)
    return solution.T


def recovery_coefficients(coefficients: Float[np.ndarray, "K G"]) -> Float[np.ndarray, "K G"]:
    """Returns the coefficients with which labels add up to gates.

    They are the smallest ones that turn the linear part of the labels into each gate, if there are
    enough labels to tell gates apart.

    Args:
      coefficients: (K, G) coefficients of gates in labels, as of `vote_coefficients`.

    Returns:
      (K, G) float64 coefficients of labels in gates.
    """
    return np.linalg.pinv(coefficients).T


def gate_recovery(
    task: BrainDump, key: Key[Array, ""], num_examples: int
) -> dict[str, list[float]]:
    """Measures which share of gate values a linear map of a level's labels recovers.

    Args:
      task: a circuit and the votes about its gates.
      key: of the examples that the map is estimated on, and of those that it is tried on.
      num_examples: number of each of them.

    Returns:
      Shares, level by level: "vote_sum" adds up the labels with the votes of the gate, "pinv"
      maps them by the pseudo-inverse of `vote_coefficients`, "estimated" learns the map from other
      examples.
    """
    fit_key, test_key = jax.random.fold_in(key, 4), jax.random.fold_in(key, 5)
    fit, test = task.sample(fit_key, num_examples), task.sample(test_key, num_examples)
    fit_gates, test_gates = task.gates(fit_key, num_examples), task.gates(test_key, num_examples)
    shares: dict[str, list[float]] = {"vote_sum": [], "pinv": [], "estimated": []}
    for level, members in enumerate(task.members):
        seen, votes = np.asarray(fit_gates[level]), np.asarray(fit.latents[level + 1])
        truth, unseen = np.asarray(test_gates[level] > 0), np.asarray(test.latents[level + 1])
        closed = vote_coefficients(members, task.signs[level], seen.shape[1])
        shares["vote_sum"].append(_share_right(unseen @ closed, truth))
        shares["pinv"].append(_share_right(unseen @ recovery_coefficients(closed), truth))
        estimated = recovery_coefficients(estimate_vote_coefficients(seen, votes))
        scores = (unseen - votes.mean(axis=0)) @ estimated + seen.mean(axis=0)
        shares["estimated"].append(_share_right(scores, truth))
    return shares


def _share_right(scores: np.ndarray, truth: np.ndarray) -> float:
    """Returns the share of right signs; a score of zero counts as half of one."""
    return float(np.mean(np.where(scores == 0, 0.5, (scores > 0) == truth)))


def recovery_by_votes(
    spec: BrainDumpSpec, key: Key[Array, ""], votes_per_gate: Sequence[int], num_examples: int
) -> dict[str, list[list[float]]]:
    """Measures `gate_recovery` on one circuit with more and more labels; trains nothing.

    Args:
      spec: sizes; its number of labels is replaced.
      key: key of the circuit, the votes and the examples.
      votes_per_gate: numbers of labels of a level, for each of its gates.
      num_examples: number of examples that maps are estimated on, and that they are tried on.

    Returns:
      Shares of gate values, [number of votes][level], by the names that `gate_recovery` has.
    """
    most = max(votes_per_gate) * spec.gates_per_level
    task = _draw(key, dataclasses.replace(spec, labels_per_level=most))
    found: dict[str, list[list[float]]] = {}
    for number in votes_per_gate:
        first = slice(number * spec.gates_per_level)
        few = task.replace(members=task.members[:, first], signs=task.signs[:, first])
        for name, shares in gate_recovery(few, key, num_examples).items():
            found.setdefault(name, []).append(shares)
    return found

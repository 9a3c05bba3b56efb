"""How gates are recovered from the majorities that they vote in (arXiv 2601.00455).

Each label is the sign of a sum of k gates, some of them negated: a signed majority vote.
"""

import math

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
from hierjax.tasks.circuits import BrainDump


def vote_weight(votes: int) -> float:
    """Returns the correlation of one vote with the majority that it is part of.

    It is binom(k - 1, (k - 1) / 2) / 2^(k - 1) for k independent, unbiased votes.

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
    """Returns what each gate contributes to each label, for independent, unbiased gates.

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

    The gates may be biased and depend on each other, unlike those of `vote_coefficients`.

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
      Shares, level by level: "closed_form" takes the gates for independent and unbiased,
      "estimated" learns the map from other examples.
    """
    fit_key, test_key = jax.random.fold_in(key, 4), jax.random.fold_in(key, 5)
    fit, test = task.sample(fit_key, num_examples), task.sample(test_key, num_examples)
    fit_gates, test_gates = task.gates(fit_key, num_examples), task.gates(test_key, num_examples)
    shares: dict[str, list[float]] = {"closed_form": [], "estimated": []}
    for level, members in enumerate(task.members):
        seen, votes = np.asarray(fit_gates[level]), np.asarray(fit.latents[level + 1])
        truth, unseen = np.asarray(test_gates[level] > 0), np.asarray(test.latents[level + 1])
        closed = vote_coefficients(members, task.signs[level], seen.shape[1])
        scores = unseen @ recovery_coefficients(closed)
        shares["closed_form"].append(float(np.mean((scores > 0) == truth)))
        estimated = recovery_coefficients(estimate_vote_coefficients(seen, votes))
        scores = (unseen - votes.mean(axis=0)) @ estimated + seen.mean(axis=0)
        shares["estimated"].append(float(np.mean((scores > 0) == truth)))
    return shares

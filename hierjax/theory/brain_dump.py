"""How gates are recovered from the majorities that they vote in (arXiv 2601.00455)."""

import math

import numpy as np
from jaxtyping import Array, Float, Int


def vote_weight(votes: int) -> float:
    """E[majority * own vote] for k independent unbiased votes, binom(k-1, (k-1)/2) / 2^(k-1)."""
    return math.comb(votes - 1, (votes - 1) // 2) / 2 ** (votes - 1)


def vote_coefficients(
    members: Int[Array | np.ndarray, "K votes"],
    signs: Float[Array | np.ndarray, "K votes"],
    num_gates: int,
) -> Float[np.ndarray, "K G"]:
    """What each gate contributes to each label, for independent unbiased gates.

    Args:
      members: (K, k) gates that vote on each label of a level.
      signs: (K, k) with which they vote.
      num_gates: G.

    Returns:
      (K, G) coefficients of the linear part of the labels.
    """
    coefficients = np.zeros((len(members), num_gates))
    np.put_along_axis(coefficients, np.asarray(members), np.asarray(signs), axis=1)
    return coefficients * vote_weight(members.shape[1])


def estimate_vote_coefficients(
    gates: Float[Array | np.ndarray, "N G"], labels: Float[Array | np.ndarray, "N K"]
) -> Float[np.ndarray, "K G"]:
    """The same for gates that are not independent or biased, by least squares on examples.

    Args:
      gates: (N, G).
      labels: (N, K).
    """
    gates, labels = np.asarray(gates, np.float64), np.asarray(labels, np.float64)
    centered = gates - gates.mean(axis=0)
    solution, *_ = np.linalg.lstsq(centered, labels - labels.mean(axis=0), rcond=None)
    return solution.T


def recovery_coefficients(coefficients: Float[np.ndarray, "K G"]) -> Float[np.ndarray, "K G"]:
    """(K, G) coefficients with which labels add up to gates, from those of gates in labels.

    The least ones that turn the linear part of the labels into each gate, if there are enough
    labels to tell gates apart.
    """
    return np.linalg.pinv(coefficients).T

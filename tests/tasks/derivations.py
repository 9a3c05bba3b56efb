"""Derivations read off strings, by looking."""

import numpy as np


def taken_rules(rules, parents, children):
    """(N, P) rules that rewrite parents as children."""
    children = np.asarray(children).reshape(*parents.shape, -1)
    matches = np.asarray(rules)[np.asarray(parents)] == children[:, :, None]
    assert (matches.all(axis=-1).sum(axis=-1) == 1).all()
    return matches.all(axis=-1).argmax(axis=-1)

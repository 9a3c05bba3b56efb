"""Strings of a context-free grammar: drawn, told how probable, and their next tokens."""

import random
from collections.abc import Callable, Iterator

import jax
import numpy as np

from benchmarks.harness import Case, Growth, WrongResult, compiled
from hierjax.exact import chart_likelihood, chart_next_tokens
from hierjax.tasks import ContextFree, LayeredSpec, layered_grammar

_LEVELS, _LEVELS_QUICK = 7, 4
_DRAWN, _DRAWN_QUICK = 1024, 128
_READ = 4
_MOST_ERRORS = 6


def cases(quick: bool) -> Iterator[Case]:
    """A layered grammar of rules of two or three symbols; its strings have 200 to 400 tokens."""
    spec = LayeredSpec(num_levels=_LEVELS_QUICK if quick else _LEVELS)
    grammar = layered_grammar(jax.random.key(0), spec)
    yield _drawn(grammar, _DRAWN_QUICK if quick else _DRAWN, f"{spec.num_levels} levels")
    batch = grammar.sample(jax.random.key(1), _READ)
    strings = batch.inputs[:, : int(batch.labels.max())]
    for name, function in (("likelihood", chart_likelihood), ("next tokens", chart_next_tokens)):
        yield _read(grammar, strings, f"{name}, {spec.num_levels} levels", function)


def growths(quick: bool) -> list[Growth]:
    """No growth is measured."""
    return []


def _drawn(grammar: ContextFree, count: int, levels: str) -> Case:
    def check(ours, baseline):
        lengths, theirs = np.asarray(ours.labels) - 1, np.array([len(each) for each in baseline])
        error = (lengths.std() + theirs.std()) / count**0.5
        if abs(lengths.mean() - theirs.mean()) > _MOST_ERRORS * error:
            raise WrongResult(f"mean lengths are {lengths.mean()}, and {theirs.mean()} in Python")

    return Case(
        suite="context_free",
        name=f"draw, {levels}, plain Python",
        items=count,
        unit="strings",
        make_ours=lambda: compiled(lambda key: grammar.sample(key, count), jax.random.key(2)),
        check=check,
        baseline=_in_python(grammar, count),
        against="plain Python",
    )


def _in_python(grammar: ContextFree, count: int) -> Callable[[], list[list[int]]]:
    """Makes a recursive generator of strings, whose rules are drawn by `random.choices`."""
    num_symbols = len(grammar.spec.symbols)
    rules, weights = [], []
    tables = np.asarray(grammar.children), np.diff(grammar.bounds, prepend=0)
    for children, shares in zip(*tables, strict=True):
        given = [
            ([int(child) for child in row if child >= 0], float(share))
            for row, share in zip(children, shares, strict=True)
            if row[0] >= 0
        ]
        rules.append([row for row, _ in given])
        weights.append([share for _, share in given])
    rng = random.Random(0)

    def expand(symbol: int, string: list[int]) -> None:
        if symbol >= num_symbols:
            string.append(symbol - num_symbols)
            return
        for child in rng.choices(rules[symbol], weights[symbol])[0]:
            expand(child, string)

    def draw() -> list[list[int]]:
        strings: list[list[int]] = [[] for _ in range(count)]
        for string in strings:
            expand(0, string)
        return strings

    return draw


def _read(grammar: ContextFree, strings: jax.Array, name: str, function: Callable) -> Case:
    def check(ours, _):
        if function is chart_next_tokens:
            own = np.take_along_axis(np.asarray(ours), np.asarray(strings)[..., None], axis=-1)
            ours = np.log(own).sum(axis=(1, 2))
        expected = chart_likelihood(grammar, strings)
        if not np.allclose(ours, expected, rtol=1e-3):
            raise WrongResult(f"{name}: log-probabilities are {ours}, not {expected}")

    return Case(
        suite="context_free",
        name=name,
        items=len(strings),
        unit="strings",
        make_ours=lambda: compiled(lambda strings: function(grammar, strings), strings),
        check=check,
    )

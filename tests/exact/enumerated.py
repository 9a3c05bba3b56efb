"""Languages of context-free grammars, counted out one string after the other."""

import functools
import itertools

import numpy as np

from hierjax.tasks.normal_form import Rule, is_terminal


def language(rules, most):
    """Probabilities of all strings of at most so many terminals, by tuples of these."""

    @functools.cache
    def made(symbol, length):
        """Those that a symbol is rewritten into."""
        if is_terminal(symbol):
            return {(symbol,): 1.0} if length == 1 else {}
        found = {}
        for rule in rules:
            if rule.left == symbol:
                for string, share in joined(rule.right, length).items():
                    found[string] = found.get(string, 0.0) + rule.probability * share
        return found

    @functools.cache
    def joined(symbols, length):
        if len(symbols) == 1:
            return made(symbols[0], length)
        found = {}
        for first in range(1, length - len(symbols) + 2):
            pairs = itertools.product(
                made(symbols[0], first).items(), joined(symbols[1:], length - first).items()
            )
            for (one, share), (other, rest) in pairs:
                found[one + other] = found.get(one + other, 0.0) + share * rest
        return found

    start = rules[0].left
    return {
        string: share
        for length in range(1, most + 1)
        for string, share in made(start, length).items()
    }


def rules_of(grammar):
    """The rules of a random hierarchy; its classes are what the start is rewritten into."""
    spec = grammar.spec

    def normalized(shares):
        shares = np.asarray(shares, float)
        return shares / shares.sum(axis=-1, keepdims=True)

    classes = enumerate(normalized(grammar.class_shares))
    rules = [Rule("start", (f"0.{index}",), share) for index, share in classes]
    for level, table in enumerate(grammar.rules):
        shares = normalized(grammar.rule_shares(level))
        for symbol, own in enumerate(table):
            for children, share in zip(own, shares[symbol], strict=True):
                quote = "'" if level == spec.depth - 1 else ""
                names = tuple(f"{quote}{level + 1}.{child}{quote}" for child in children)
                rules.append(Rule(f"{level}.{symbol}", names, share))
    return rules

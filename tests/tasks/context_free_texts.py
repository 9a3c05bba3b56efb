"""Grammars in plain text, and their rules as a test reads them."""

import re

from hierjax.tasks.normal_form import Rule

ARITHMETIC = """
S -> E [.7] | E '=' E [.2]     # comparisons
S -> '!' S [.1]
E -> E '+' T [.3] | T [.7]
T -> T '*' F [.25]
T -> F [.75]
F -> '(' E ')' [.2] | A [.8]
A -> 'x' [.6] | 'y' [.3] | '-' A [.1]
"""

MIXED = """
S -> A B [.5] | B A 'c' [.25] | A [.25]
A -> C C | C D C
B -> D D [.125] | C D [.875]
C -> 'a' | 'b' | 'a' 'b'
D -> 'b' | 'c'
"""


def rules_in(text):
    """The rules of one of these texts."""
    given = []
    for line in text.strip().splitlines():
        left, right = line.partition("#")[0].split("->")
        for each in right.split("|"):
            symbols, share = re.fullmatch(r"\s*(.*?)\s*(?:\[(.*)\])?\s*", each).groups()
            given.append((left.strip(), tuple(symbols.split()), share))
    counts = [sum(other[0] == left for other in given) for left, _, _ in given]
    return [
        Rule(left, right, 1 / count if share is None else float(share))
        for (left, right, share), count in zip(given, counts, strict=True)
    ]

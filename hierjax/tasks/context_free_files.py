"""Context-free grammars in plain text, a rule a line: `A -> B 'c' [0.5]`."""

import os
import re
import textwrap
from pathlib import Path

from hierjax.checks import known
from hierjax.tasks.array_files import write_whole
from hierjax.tasks.context_free import ContextFree, context_free
from hierjax.tasks.normal_form import Rule

_PROBABILITY = re.compile(r"^(.*)\[([^\[\]]*)\]$", re.DOTALL)
_SYMBOL = re.compile(r"'[^'\s]+'|[^\s'\[\]|#]+")
_TERMINAL_OR_COMMENT = re.compile(r"('[^'\s]+')|#.*")
_MOST_SHOWN = 60


def parse_context_free(text: str, max_length: int) -> ContextFree:
    """Reads a grammar from text.

    Each line is a rule, `A -> B 'c' [0.5]`: a symbol, what it is rewritten into, and the
    probability of the rule among those of the symbol. Symbols in quotes are terminals, all others
    need rules of their own; the symbol of the first rule is the start. Rules of a symbol that have
    no probabilities are equally probable. Alternatives may share a line, `A -> B 'c' | 'd'`; what
    follows a # is a comment.

    Args:
      text: the lines.
      max_length: largest number of tokens of a string, see `context_free`.

    Raises:
      ValueError: a line is no rule, some rules of a symbol have probabilities and others do not, or
        as `context_free`; the line is named where there is one.
    """
    given: list[tuple[str, tuple[str, ...], float | None]] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = _TERMINAL_OR_COMMENT.sub(lambda found: found[1] or "", line).strip()
        if line:
            try:
                given += _alternatives(line)
            except ValueError as error:
                shown = textwrap.shorten(line, _MOST_SHOWN, placeholder=" ...")
                raise ValueError(f"line {number}, {shown!r}, is no rule: {error}") from error
    by_symbol: dict[str, list[float | None]] = {}
    for left, _, probability in given:
        by_symbol.setdefault(left, []).append(probability)
    for left, probabilities in by_symbol.items():
        missing = probabilities.count(None)
        if 0 < missing < len(probabilities):
            raise ValueError(
                f"{missing} of {len(probabilities)} rules of {left} have no probability: give it "
                "for all of them or for none"
            )
    rules = [
        Rule(left, right, 1 / len(by_symbol[left]) if probability is None else probability)
        for left, right, probability in given
    ]
    return context_free(rules, max_length)


def _alternatives(line: str) -> list[tuple[str, tuple[str, ...], float | None]]:
    left, arrow, right = line.partition("->")
    if not arrow or not _SYMBOL.fullmatch(left.strip()) or left.strip().startswith("'"):
        raise ValueError("want one like A -> B 'c' [0.5]")
    return [(left.strip(), *_right(each)) for each in _split(right)]


def _split(right: str) -> list[str]:
    """Cuts at bars that are not in quotes."""
    return re.split(r"\|(?=(?:[^']*'[^']*')*[^']*$)", right)


def _right(text: str) -> tuple[tuple[str, ...], float | None]:
    probability, text = None, text.strip()
    if found := _PROBABILITY.match(text):
        text = found[1].strip()
        try:
            probability = float(found[2])
        except ValueError:
            raise ValueError(f"[{found[2]}] is no probability") from None
    symbols = _SYMBOL.findall(text)
    if "".join(symbols) != "".join(text.split()):
        raise ValueError(f"{text!r} are no symbols; terminals stand in quotes")
    if not symbols:
        raise ValueError("it makes nothing, but strings are made of rules that make something")
    return tuple(symbols), probability


def read_context_free(path: str | os.PathLike, max_length: int) -> ContextFree:
    """Reads a grammar from a text file of the form that `parse_context_free` documents.

    Args:
      path: the file.
      max_length: largest number of tokens of a string, see `context_free`.

    Raises:
      ValueError: the file is no text, or its lines are no grammar.
      OSError: the file cannot be read.
    """
    content = Path(path).read_bytes()
    try:
        return parse_context_free(content.decode(), max_length)
    except ValueError as error:
        raise ValueError(f"{path} is no context-free grammar: {error}") from error


def write_context_free(path: str | os.PathLike, grammar: ContextFree) -> None:
    """Writes the rules of a grammar to a text file, a line each, which `read_context_free` reads.

    Args:
      path: the file; an earlier one is replaced whole, or kept if the new one cannot be written.
      grammar: the grammar; its probabilities are written in single precision.

    Raises:
      ValueError: this is a batch of grammars, or is traced.
      OSError: the file cannot be written.
    """
    if known(grammar.bounds) is None or grammar.bounds.ndim != 2:
        raise ValueError("grammars of a batch, or inside of jax.jit, are no rules: give one")
    lines = [
        f"{rule.left} -> {' '.join(rule.right)} [{rule.probability}]\n" for rule in grammar.rules
    ]
    write_whole(Path(path), "".join(lines).encode(), "the grammar")

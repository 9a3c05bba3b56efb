"""Grammars in files: JSON that other code can write, too."""

import contextlib
import errno
import json
import os
from pathlib import Path

import jax
import numpy as np

from hierjax.checks import known
from hierjax.tasks.grammars import from_rules
from hierjax.tasks.random_hierarchy import RandomHierarchy


def save_grammar(path: str | os.PathLike, grammar: RandomHierarchy) -> None:
    """Writes a grammar to a file as JSON, for `load_grammar`.

    The file has the keys "vocab_size" (number of leaf symbols), "rules", "rule_probabilities",
    "class_prior" (tables as nested lists, or null) and "ambiguous", with the meaning that
    `from_rules` documents.

    Args:
      path: the file; an earlier one is replaced whole, or kept if the new one cannot be written.
      grammar: the grammar.

    Raises:
      ValueError: this is a batch of grammars, is traced, or its tables make no grammar.
      OSError: the file cannot be written.
    """
    grammar.require_tables()
    if any(known(leaf) is None for leaf in jax.tree.leaves(grammar)):
        raise ValueError("a grammar inside of jax.jit or jax.vmap has no tables to save: return it")
    tables = {
        "vocab_size": grammar.spec.vocab_size[-1],
        "rules": grammar.rules,
        "rule_probabilities": grammar.rule_probabilities,
        "class_prior": grammar.class_prior,
        "ambiguous": grammar.spec.ambiguous,
    }
    tables = jax.tree.map(lambda table: np.asarray(table).tolist(), tables)
    from_rules(**tables)  # What is saved can be loaded.
    _write_whole(Path(os.path.realpath(path)), json.dumps(tables) + "\n")


def _write_whole(path: Path, text: str) -> None:
    """Writes a file beside the one that it then replaces."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "not a regular file")
        with open(partial, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        reason = f"the grammar is not written, {error.strerror}"
        raise OSError(error.errno, reason, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def load_grammar(path: str | os.PathLike) -> RandomHierarchy:
    """Reads a grammar from a JSON file of the form that `save_grammar` documents.

    The file may come from other code; of its keys only "rules" is required.

    Args:
      path: the file.

    Returns:
      The grammar.

    Raises:
      ValueError: the file is not of this form, or its tables make no grammar.
      OSError: the file cannot be read.
    """
    try:
        tables = json.loads(Path(path).read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no grammar: it is no JSON ({error})") from error
    if not isinstance(tables, dict) or not isinstance(tables.get("rules"), list):
        raise ValueError(
            f'{path} is no grammar: want JSON with the key "rules", a list of one table '
            "(symbols, rules, branching) for each level"
        )
    options = {key: tables.get(key) for key in ("vocab_size", "rule_probabilities", "class_prior")}
    try:
        return from_rules(tables["rules"], **options, ambiguous=tables.get("ambiguous") is True)
    except ValueError as error:
        raise ValueError(f"{path} is no grammar: {error}") from error

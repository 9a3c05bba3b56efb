"""Grammars in files, .npz or JSON, that other code can write, too."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hierjax.checks import known
from hierjax.tasks.array_files import pack, unpack, write_whole
from hierjax.tasks.grammars import from_rules
from hierjax.tasks.random_hierarchy import RandomHierarchy

KIND = "random hierarchy"
"""What files of such grammars say of themselves."""

_LISTS = ("rules", "rule_probabilities")
_OPTIONS = ("vocab_size", "rule_probabilities", "class_prior")


def save_grammar(path: str | os.PathLike, grammar: RandomHierarchy) -> None:
    """Writes a grammar to a file, for `load_grammar`: as .npz if the path ends so, else as JSON.

    A JSON file has the keys "kind" (`KIND`), "vocab_size" (number of leaf symbols), "rules",
    "rule_probabilities", "class_prior" (tables as nested lists, or null) and "ambiguous", with the
    meaning that `from_rules` documents. An .npz file has the same keys, without those that are
    null; each table of a list stands under a key of its own, "rules_0" for that of the root,
    "rules_1", ...

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
    tables = jax.tree.map(np.asarray, tables)
    plain = {name: tables[name].item() for name in ("vocab_size", "ambiguous")}
    from_rules(**tables | plain)  # It can be loaded.
    content = {"kind": np.array(KIND), **tables}
    write = _as_npz if _is_npz(path) else _as_json
    write_whole(Path(path), write(content), "the grammar")


def load_grammar(path: str | os.PathLike) -> RandomHierarchy:
    """Reads a grammar from a file of the form that `save_grammar` documents.

    The file may come from other code; of its keys only the rules are required. Nothing in it is
    executed.

    Args:
      path: the file, an .npz if it ends so, else JSON.

    Returns:
      The grammar.

    Raises:
      ValueError: the file is not of this form or of another kind of grammar, or its tables make no
        grammar.
      OSError: the file cannot be read.
    """
    read = _of_npz if _is_npz(path) else _of_json
    content = Path(path).read_bytes()
    try:
        tables = read(content)
        kind = tables.get("kind", KIND)
        if str(kind) != KIND:
            raise ValueError(f"it is of kind {str(kind)!r}, and here are those of kind {KIND!r}")
        options = {key: tables.get(key) for key in _OPTIONS}
        return from_rules(tables["rules"], **options, ambiguous=tables.get("ambiguous") is True)
    except ValueError as error:
        raise ValueError(f"{path} is no grammar: {error}") from error


def _is_npz(path: str | os.PathLike) -> bool:
    return Path(path).suffix == ".npz"


def _as_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(jax.tree.map(np.ndarray.tolist, content)) + "\n").encode()


def _as_npz(content: Mapping[str, Any]) -> bytes:
    arrays = {}
    for name, value in content.items():
        if name in _LISTS:
            arrays |= {f"{name}_{level}": table for level, table in enumerate(value or ())}
        elif value is not None:
            arrays[name] = value
    return pack(arrays)


def _of_json(content: bytes) -> dict[str, Any]:
    try:
        tables = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON ({error})") from error
    if not isinstance(tables, dict) or not isinstance(tables.get("rules"), list):
        raise ValueError(
            'want JSON with the key "rules", a list of one table (symbols, rules, branching) for '
            "each level"
        )
    return tables


def _of_npz(content: bytes) -> dict[str, Any]:
    arrays = unpack(content)
    tables: dict[str, Any] = {}
    for name in _LISTS:
        levels = sum(key.startswith(f"{name}_") and key[-1].isdigit() for key in arrays)
        keys = [f"{name}_{level}" for level in range(levels)]
        for key in keys:
            if key not in arrays:
                raise ValueError(f"{key} is missing, of {levels} tables of {name}")
        tables[name] = [arrays[key] for key in keys] or None
    if tables["rules"] is None:
        raise ValueError(
            "want arrays rules_0 (symbols, rules, branching) of the root, rules_1 of the next "
            f"level, ..., and it holds {', '.join(arrays) or 'nothing'}"
        )
    for name in ("kind", "vocab_size", "class_prior", "ambiguous"):
        if name in arrays:
            tables[name] = arrays[name] if name == "class_prior" else arrays[name].tolist()
    return tables

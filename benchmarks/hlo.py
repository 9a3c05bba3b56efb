"""What the text of a program that was compiled for a TPU says of its costs."""

import math
import re
from typing import NamedTuple

_NO_ESTIMATE = 10**15
_COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)


class Costs(NamedTuple):
    """Costs of one call of a program, on each chip.

    Attributes:
      cycles: those that XLA:TPU estimates of all fusions, times the lengths of loops.
      gathered: rows that gathers fetch, which carry no estimate.
      collectives: number of each kind of collective operations in the text.
      unknown_loops: number of loops whose length the text does not tell, which count once.
    """

    cycles: int
    gathered: int
    collectives: dict[str, int]
    unknown_loops: int


def read(text: str) -> Costs:
    """Reads the costs of a program off its optimised HLO.

    Args:
      text: the HLO.
    """
    parts = _computations(text)
    cycles = gathered = unknown_loops = 0
    waiting = [("ENTRY", 1)]
    while waiting:
        name, times = waiting.pop()
        for line in parts.get(name, []):
            estimate = re.search(r'"estimated_cycles":"(\d+)"', line)
            if estimate and int(estimate.group(1)) < _NO_ESTIMATE:
                cycles += times * int(estimate.group(1))
            if " gather(" in line:
                gathered += times * _rows(line)
            length: int | None = 1
            if " while(" in line:
                length = _length(line, parts)
                unknown_loops += length is None
            called = r"(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)"
            below = re.findall(called, line)
            branches = re.search(r"branch_computations=\{([^}]*)\}", line)
            below += re.findall(r"%?([\w.\-]+)", branches.group(1)) if branches else []
            waiting += [(each, times * (length or 1)) for each in below]
    found = {kind: len(re.findall(rf" {kind}(?:-start)?\(", text)) for kind in _COLLECTIVES}
    return Costs(cycles, gathered, {k: n for k, n in found.items() if n}, unknown_loops)


def _computations(text: str) -> dict[str, list[str]]:
    """Lines of each computation; those of the first one that runs also under ENTRY."""
    parts: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.\-]+) .*\{\s*$", line)
        if head:
            lines = parts["ENTRY" if head.group(1) else head.group(2)] = []
        elif line.startswith(" "):
            lines.append(line)
    return parts


def _length(line: str, parts: dict[str, list[str]]) -> int | None:
    """Length of a loop: as it says, or else the constant that its counter is compared with."""
    told = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
    if told:
        return int(told.group(1))
    condition = parts.get(_first(r"condition=%?([\w.\-]+)", line), [])
    root = next((each for each in condition if " ROOT " in each), "")
    bound = _first(r"compare\([^,]+, %?([\w.\-]+)\), direction=LT", root)
    for each in condition if bound else []:
        value = re.search(rf"%?{re.escape(bound)} = .* constant\((\d+)\)", each)
        if value:
            return int(value.group(1))
    return None


def _rows(line: str) -> int:
    """Rows that a gather fetches: the elements it makes over those of a slice."""
    made, fetched = _first(r"\[([\d,]*)\]", line), _first(r"slice_sizes=\{([\d,]*)\}", line)
    return _product(made) // _product(fetched)


def _product(numbers: str) -> int:
    return math.prod(int(each) for each in numbers.split(",") if each)


def _first(pattern: str, text: str) -> str:
    """What the group of a pattern matches first; empty where it does not match."""
    found = re.search(pattern, text)
    return found.group(1) if found else ""

import dataclasses
import json
import re

import pytest

from hierjax.runs import RunRequest, build, identity, leaves, nested
from hierjax.runs.requests import check_follows, overruled
from hierjax.settings import Config, setting


@dataclasses.dataclass(frozen=True)
class Solver(Config):
    """How it is solved.

    Attributes:
      kind: name of the method.
      rate: learning rate; unset: .1.
      steps: number of steps.
      secret: what is recorded only.
    """

    kind: str = setting("adam", choices=("adam", "exact"))
    rate: float = setting(None, above=0, only=("kind", ("adam",)))
    steps: int = setting(10, least=1)
    secret: int = setting(3, flag=False)

    def __post_init__(self):
        super().__post_init__()
        if self.rate is None:
            self.fill(rate=0.1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for.

    Attributes:
      size: number of things.
      sizes: numbers of things that are tried.
      names: names that are tried.
      quick: whether to hurry.
      solver: how it is solved.
    """

    size: int = setting(4, least=1)
    sizes: tuple[int, ...] = setting((1, 2), least=1, ascending=True)
    names: tuple[str, ...] = setting(lambda: ("a",), choices=("a", "b"))
    quick: bool = setting(False, identity=False)
    solver: Solver = nested(Solver, "solve_", names={"kind": "kind"}, steps=None)


FOLLOWS = {"kind": {"exact": {"solve_steps": 1}, "adam": {"solve_steps": 20}}}


def flags_of(request):
    return {leaf.flag: leaf for leaf in leaves(request)}


def test_flags_are_the_fields_with_prefixes_names_and_defaults():
    flags = flags_of(Request)
    own = {"size", "sizes", "names", "quick", "kind", "solve_rate", "solve_steps"}
    assert set(flags) == own | {field.name for field in dataclasses.fields(RunRequest)}
    assert flags["solve_steps"].default is None
    assert flags["solve_steps"].path == ("solver", "steps")
    assert flags["names"].default == ("a",)
    assert (flags["sizes"].kind, flags["sizes"].listed) == (int, True)
    assert (flags["quick"].kind, flags["quick"].listed) == (bool, False)
    assert flags["solve_rate"].kind is float
    assert flags["kind"].help == "Name of the method."


def test_a_request_is_built_of_given_values_and_of_what_follows():
    assert build(Request, {}, {}).solver == Solver()
    assert build(Request, FOLLOWS, {}).solver == Solver(steps=20)
    assert build(Request, FOLLOWS, {"kind": "exact"}).solver == Solver("exact", steps=1)
    given = build(Request, FOLLOWS, {"kind": "exact", "solve_steps": 7, "sizes": (3, 5)})
    assert given.solver.steps == 7
    assert given.sizes == (3, 5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"solve_steps": 0}, "solve_steps=0 must be at least 1"),
        ({"kind": "lion"}, "kind='lion' is unknown: choose one of adam, exact"),
        (
            {"kind": "exact", "solve_rate": 0.2},
            "--solve_rate is for --kind adam, not exact: drop it",
        ),
        ({"sise": 3}, "Request has no flag sise: choose one of seed, num_seeds"),
        ({"seed": 2**32}, "seed=4294967296 must be from 0 to 4294967295"),
    ],
)
def test_values_are_refused_by_the_names_of_their_flags(values, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        build(Request, FOLLOWS, values)


def test_a_flag_for_another_choice_may_follow_but_not_be_given():
    follows = {"kind": {"exact": {"solve_rate": 0.5}}}
    assert build(Request, follows, {"kind": "exact"}).solver.rate == 0.5


def test_it_is_said_which_given_flags_win():
    both = {"size": {7: {"quick": True, "sizes": (3,)}}} | FOLLOWS
    given = {"kind": "exact", "solve_steps": 7, "size": 7, "quick": False, "sizes": (1, 2)}
    assert overruled(both, given) == [
        "given flags win over --size 7: quick=False, not True, sizes=(1, 2), not (3,)",
        "given flags win over --kind exact: solve_steps=7, not 1",
    ]
    for silent in ({}, {"kind": "exact"}, {"solve_steps": 7}, {"kind": "exact", "solve_steps": 1}):
        assert overruled(both, silent) == []


def test_identity_is_what_fixes_the_numbers():
    request = build(Request, {}, {})
    found = identity(request)
    assert set(found) == {"seed", "num_seeds", "size", "sizes", "names", "solver"}
    assert found["solver"] == {"kind": "adam", "rate": 0.1, "steps": 10, "secret": 3}
    assert json.loads(json.dumps(found))["sizes"] == [1, 2]
    others = {"workdir": "x", "impl": "pmap", "num_devices": 2, "overwrite": True, "quick": True}
    assert identity(build(Request, {}, others)) == found
    for values in ({"seed": 1}, {"num_seeds": 2}, {"sizes": (1,)}, {"solve_steps": 11}):
        assert identity(build(Request, {}, values)) != found


def declare(field, base=RunRequest, text="size: number of things."):
    """A request of one more field."""
    doc = f"What is asked for.\n\nAttributes:\n  {text}\n"
    names = {"__doc__": doc, "__annotations__": {"size": int}, "size": field}
    return dataclasses.dataclass(frozen=True, kw_only=True)(type("Wrong", (base,), names))


@dataclasses.dataclass(frozen=True)
class Bare:
    """A dataclass that explains nothing."""

    size: int = 1


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (dataclasses.field(), "flag size of Wrong has no default: give it one"),
        (nested(Bare), "flag size of Bare has no help: give it one"),
        (nested(Solver, names={"kind": "seed"}), "two flags of Wrong are called seed: rename one"),
        (nested(Solver, names={"sort": "kind"}), "Wrong.size has no field sort to name or to set"),
        (nested(Solver, rates=3), "Wrong.size has no field rates to name or to set"),
        (nested(Solver, "by_"), "flag by_rate is only for kind, which is no flag"),
    ],
)
def test_wrong_declarations_are_refused(field, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        leaves(declare(field))


def test_a_field_without_help_is_refused_when_it_is_declared():
    with pytest.raises(ValueError, match=r"^Wrong.size is not explained"):
        declare(setting(1), text="length: of something.")


@pytest.mark.parametrize("follows", [{"sort": {}}, {"kind": {"adam": {"solve_stpes": 3}}}])
def test_what_follows_must_be_flags(follows):
    with pytest.raises(ValueError, match=r"^follows has (sort|solve_stpes), which is no flag of"):
        check_follows(Request, follows)

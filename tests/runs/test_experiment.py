import dataclasses

import jax.numpy as jnp
import pytest

from hierjax.runs import LayerwiseExperiment, Registry, RunRequest, measures, nested
from hierjax.settings import setting


@dataclasses.dataclass(frozen=True)
class Learner:
    """A learner.

    Attributes:
      make: what makes it.
      colour: in figures.
      work: of a seed.
    """

    make: object
    colour: str
    work: float = 1.0


def make():
    """A learner."""


def undocumented():
    pass


@pytest.fixture
def registry():
    registry = Registry(Learner, "learner")
    registry.add("first", colour="tab:blue")(make)
    return registry


def test_an_entry_is_declared_once_by_decorating_its_function(registry):
    assert registry.add("second", colour="tab:red", work=3.0)(make) is make
    assert registry["second"] == Learner(make, "tab:red", 3.0)
    assert list(registry) == ["first", "second"]
    assert registry.colours == {"first": "tab:blue", "second": "tab:red"}


@pytest.mark.parametrize(
    ("name", "fields", "function", "words"),
    [
        ("first", {"colour": "tab:red"}, make, "there is a learner called first already"),
        ("second", {"colour": "tab:blue"}, make, "colour tab:blue of learner second is taken"),
        ("second", {"colour": "mud"}, make, "colour mud of learner second is unknown"),
        ("second", {}, make, "learner second is declared wrongly: .*'colour'"),
        ("second", {"colour": "tab:red", "speed": 1}, make, "learner second .*'speed'"),
        ("second", {"colour": "tab:red"}, undocumented, "learner second has no docstring"),
    ],
)
def test_wrong_learners_are_refused_when_they_are_declared(registry, name, fields, function, words):
    with pytest.raises(ValueError, match=f"^{words}") as refused:
        registry.add(name, **fields)(function)
    assert "\n" not in str(refused.value)
    assert list(registry) == ["first"]


def largest(layers, data, below, params):
    """The largest parameter."""
    return jnp.max(params)


@pytest.mark.parametrize(
    ("name", "fields", "function", "words"),
    [
        ("largest", {}, largest, "there is a measure called largest already"),
        ("least", {"title": "least"}, largest, "measure least is declared wrongly: .*'title'"),
        ("least", {}, undocumented, "measure least has no docstring"),
    ],
)
def test_wrong_measures_are_refused_when_they_are_declared(name, fields, function, words):
    registry = measures()
    registry.add("largest", column="largest")(largest)
    with pytest.raises(ValueError, match=f"^{words}"):
        registry.add(name, **fields)(function)


def test_registries_are_their_own():
    one, other = measures(), measures()
    one.add("largest")(largest)
    assert "largest" not in other


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RunRequest):
    """What is asked for.

    Attributes:
      size: number of things.
    """

    size: int = setting(1, least=1)


def declare(**fields):
    nothing = dict.fromkeys(
        ("headline", "summarize", "notes", "figure", "draw", "learners"), lambda *_: ""
    )
    known = {"name": "test", "doc": "A test.", "request": Request, "measures": measures()}
    return LayerwiseExperiment(**(known | nothing | fields))


def test_a_declaration_makes_requests():
    experiment = declare(follows={"size": {5: {"num_seeds": 2}}})
    assert experiment.make_request() == Request()
    assert experiment.make_request(size=5).num_seeds == 2
    with pytest.raises(ValueError, match="size=0 must be at least 1"):
        experiment.make_request(size=0)
    with pytest.raises(ValueError, match="Request has no flag length"):
        experiment.make_request(length=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twice(Request):
    """What is asked for.

    Attributes:
      again: the same.
    """

    again: Request = nested(Request)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"request": Twice}, "two flags of Twice are called seed: rename one"),
        ({"follows": {"length": {}}}, "follows has length, which is no flag of Request"),
    ],
)
def test_wrong_flags_are_refused_when_the_experiment_is_declared(fields, words):
    with pytest.raises(ValueError, match=words):
        declare(**fields)

"""The public face: a first page of names, and packages that tell where each name lives."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import hierjax as hj

ROOT = Path(__file__).resolve().parents[1] / "hierjax"
PACKAGES = ("tasks", "exact", "theory", "models", "train", "measure", "runs", "plots")


def package(name):
    return importlib.import_module(f"hierjax.{name}")


def test_the_first_page_is_short():
    modules = {name for name in hj.__all__ if name in PACKAGES}
    assert len(set(hj.__all__) - modules) <= 16


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names_exist_and_are_documented(name):
    for each in package(name).__all__:
        value = getattr(package(name), each)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, each


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_tells_in_which_file_each_of_its_functions_lives(name):
    """Read as a person does: a name stands in the entry of the file that defines it."""
    told = re.split(r"^ *([\w/]+\.py) ", package(name).__doc__, flags=re.MULTILINE)[1:]
    entries = dict(zip(told[::2], told[1::2], strict=True))
    files = {str(path.relative_to(ROOT / name)) for path in (ROOT / name).glob("**/[!_]*.py")}
    assert set(entries) == files
    untold = []
    for each in package(name).__all__:
        value = getattr(package(name), each)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        home = value.__module__
        file = home.removeprefix(f"hierjax.{name}.").replace(".", "/") + ".py"
        if file in files and not re.search(rf"\b{each}\b", entries[file]):
            untold.append(f"{each} of {file}")
    assert not untold


def test_names_that_stood_on_top_still_do_and_say_where_they_are_now():
    with pytest.warns(DeprecationWarning, match=r"hierjax.KernelRidge is hierjax.train.KernelRid"):
        assert hj.KernelRidge is hj.train.KernelRidge
    with pytest.raises(AttributeError, match="no attribute 'kernel_rigde'"):
        hj.kernel_rigde  # noqa: B018

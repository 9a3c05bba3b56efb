import itertools

import jax
import numpy as np
import pytest

from hierjax.tasks.lattice import (
    check_lattice,
    gather_windows,
    num_locations,
    window_size,
    window_table,
)

FITTING = [((7,), 2), ((5,), 0), ((3,), 1), ((4, 5), 1), ((5, 7), 2), ((3, 4, 3), 1)]


def direct_table(lattice, radius):
    steps = list(itertools.product(range(-radius, radius + 1), repeat=len(lattice)))
    return [
        [
            np.ravel_multi_index(np.add(place, step), lattice, mode="wrap") if lattice else 0
            for step in steps
        ]
        for place in np.ndindex(*lattice)
    ]


@pytest.mark.parametrize(("lattice", "radius"), [*FITTING, ((), 0)])
def test_windows_are_those_of_a_direct_computation(lattice, radius):
    check_lattice(lattice, radius)
    table = window_table(lattice, radius)
    np.testing.assert_array_equal(table, direct_table(lattice, radius))
    assert table.shape == (num_locations(lattice), window_size(lattice, radius))


def test_windows_of_a_small_ring_and_torus_are_as_written():
    ring = [[3, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 0]]
    np.testing.assert_array_equal(window_table((4,), 1), ring)
    corner = [11, 8, 9, 3, 0, 1, 7, 4, 5]
    np.testing.assert_array_equal(window_table((3, 4), 1)[0], corner)


@pytest.mark.parametrize(("lattice", "radius"), FITTING)
def test_own_location_is_in_the_middle_and_no_location_comes_twice(lattice, radius):
    table = window_table(lattice, radius)
    middle = table[:, window_size(lattice, radius) // 2]
    np.testing.assert_array_equal(middle, np.arange(num_locations(lattice)))
    assert (np.diff(np.sort(table, axis=1)) > 0).all()


@pytest.mark.parametrize(("lattice", "radius"), [((5,), 1), ((3, 4), 1)])
def test_gathered_windows_stand_side_by_side(lattice, radius):
    values = np.arange(2 * num_locations(lattice) * 3).reshape(2, -1, 3)
    gathered = gather_windows(jax.numpy.asarray(values), lattice, radius)
    for example, (place, window) in itertools.product(
        range(2), enumerate(direct_table(lattice, radius))
    ):
        direct = np.concatenate([values[example, location] for location in window])
        np.testing.assert_array_equal(gathered[example, place], direct)


def test_without_a_lattice_values_stay_as_they_are():
    values = jax.random.normal(jax.random.key(0), (2, 5, 3))
    np.testing.assert_array_equal(gather_windows(values, (), 0), values)


@pytest.mark.parametrize(
    ("lattice", "radius", "words"),
    [
        ((4,), 2, "wider than the side 4"),
        ((9, 2), 1, "wider than the side 2"),
        ((), 1, "radius=1 needs a lattice"),
        ((5,), -1, "must be positive"),
        ((5, 0), 0, "must be positive"),
    ],
)
def test_windows_that_do_not_fit_are_refused(lattice, radius, words):
    with pytest.raises(ValueError, match=words):
        check_lattice(lattice, radius)

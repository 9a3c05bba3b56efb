"""Moved: see `hierjax.runs.points`."""

from hierjax.runs.points import Point as Point

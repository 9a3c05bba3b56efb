"""Grids of points by seeds, measured by whoever is there; `hierjax.runs` has the names."""

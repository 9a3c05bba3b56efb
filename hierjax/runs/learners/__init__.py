"""Learners, each declared once for all commands; `hierjax.runs` has their names."""

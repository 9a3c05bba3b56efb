"""Layers of stacks that are matched to a tree, patch by patch."""

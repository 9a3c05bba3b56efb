"""A laboratory for hierarchical learning, on JAX."""

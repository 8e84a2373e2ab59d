"""Tensors and rollouts -> named numbers; `catalogue` says what every name means."""

"""The composition root: builds engines from the spec and owns the loops. The step itself is run/step.py."""

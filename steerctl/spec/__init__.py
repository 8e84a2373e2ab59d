"""The experiment as data: models (experiment.py), loading (load.py), errors with a line (explain.py), early checks."""

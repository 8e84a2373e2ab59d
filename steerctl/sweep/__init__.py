"""Many experiments, one comparison: variants times seeds as cells of an Optuna study, each run exactly once.

A sweep file (spec.py) becomes variants and cells (plan.py), which workers on one or many machines claim from the study
(study.py), run as `steerctl train` processes (process.py, worker.py) and sum up (summary.py).
"""

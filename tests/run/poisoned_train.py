"""`steerctl train` with a loss that is NaN in one step: the product has no switch for that, so the test turns one.

Usage: python poisoned_train.py STEP ARGUMENTS...
"""

import sys

from steerctl.run import step as step_module
from steerctl.run import train as train_module

STEP = int(sys.argv[1])
honest_step, honest_loss = step_module.run_step, step_module.token_loss


def run_step(parts, step, cursor):
    step_module.token_loss = (lambda *a: honest_loss(*a) * float("nan")) if step + 1 == STEP else honest_loss
    return honest_step(parts, step, cursor)


train_module.run_step = run_step
sys.argv = ["steerctl", "train", *sys.argv[2:]]

if __name__ == "__main__":
    from steerctl.cli import main

    main()

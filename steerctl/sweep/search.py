"""What a search tries next, and when it gives a trial up: Optuna's samplers and pruners by the sweep's words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import Trial

from steerctl.sweep.spec import PruneSpec, RangeSpec, SearchSpec


def suggest(study: Study, trial_id: int, job: str, search: SearchSpec) -> tuple[Trial, Mapping[str, Any]]:
    """A trial and its settings; those it already has, if another worker began it.

    The sampler is seeded by the search's seed and the job, so that a random search does not depend on who asks when,
    and a worker that starts anew does not draw again what the last one drew.
    """
    study.sampler = sampler(search, job)
    study.pruner = pruner(search.prune)
    trial = Trial(study, trial_id)
    return trial, {key: _suggested(trial, key, distribution(each)) for key, each in search.space.items()}


def sampler(search: SearchSpec, job: str) -> BaseSampler:
    """TPE counts trials that still run as bad ones, so that several workers do not try the same."""
    digest = hashlib.blake2b(f"{search.seed}/{job}".encode(), digest_size=4).digest()
    seed = int.from_bytes(digest, "big")
    return TPESampler(seed=seed, constant_liar=True) if search.sampler == "tpe" else RandomSampler(seed=seed)


def pruner(prune: PruneSpec | None) -> BasePruner:
    """Optuna's rule for giving up; first_step 10 lets step 10 be the first that is looked at."""
    if prune is None:
        return NopPruner()
    if prune.kind == "halving":
        return SuccessiveHalvingPruner(min_resource=prune.first_step)
    return MedianPruner(n_startup_trials=prune.first_trials, n_warmup_steps=prune.first_step)


def distribution(each: RangeSpec) -> BaseDistribution:
    """Whole numbers stay whole."""
    if each.choices is not None:
        return CategoricalDistribution(each.choices)
    low, high, step = each.low, each.high, each.step
    whole = isinstance(low, int) and isinstance(high, int) and (step is None or isinstance(step, int))
    if whole:
        return IntDistribution(int(low or 0), int(high or 0), log=each.log, step=int(step or 1))
    return FloatDistribution(
        float(low or 0), float(high or 0), log=each.log, step=None if step is None else float(step)
    )


def _suggested(trial: Trial, key: str, wanted: BaseDistribution) -> Any:  # noqa: ANN401 (any setting)
    if isinstance(wanted, CategoricalDistribution):
        return trial.suggest_categorical(key, wanted.choices)
    if isinstance(wanted, IntDistribution):
        return trial.suggest_int(key, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
    if isinstance(wanted, FloatDistribution):
        return trial.suggest_float(key, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
    raise TypeError(wanted)

"""ProRL's reference reset: now and then the policy that KL pulls towards becomes the current one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PrivateAttr
from torch import Tensor

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._reference import reference_logprobs
from steerctl.intervention._remarks import Surroundings
from steerctl.types import Dials, Need, Scope, TokenBatch, TokenStats


class ReferenceReset(Intervention):
    """π_ref := π after every `every`-th step, and after a step that began with KL(π ‖ π_ref) above kl_trigger.

    It turns no dial: it stands beside `kl` or `kl_reward`, whose penalty it brings back to 0, so that a long run is not
    held where it began. KL is measured as the mean of k3 = ρ − 1 − log ρ, ρ = π_ref/π at the sampled token, over the
    step's tokens before its first update (metric reference/kl/mean is taken in the updates). The renewed reference is
    part of the checkpoint. Factor touched: probability, through the penalty of others.

    Presets, items of algorithm.interventions that belong together:

        penalty: {kind: kl, kl_coef: 0.0001, estimator: k2}
        prorl: {kind: reference_reset, every: 200}

    Source: ProRL, arXiv 2505.24864 (hard reset of π_ref to a snapshot of the policy, by hand, some hundred steps apart,
    when validation stalls or the KL term dominates).

    Departures: (1) a period and a bound in place of a person who looks; the paper's intervals differ from run to run,
    and the period and coefficient above are ours; (2) the optimiser's moments stay, the paper clears them.
    """

    kind: Literal["reference_reset"] = "reference_reset"
    needs: ClassVar[frozenset[Need]] = frozenset({"reference"})
    every: NonNegativeInt = 200
    """Steps between resets; 0: none by the clock."""
    kl_trigger: Annotated[float, Field(gt=0)] | None = None
    """Mean k3, nats, above which the step ends with a reset; None: never."""
    _triggered: bool = PrivateAttr(default=False)
    _resets: int = PrivateAttr(default=0)

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (one signature)
        """Never resetting."""
        if self.every == 0 and self.kl_trigger is None:
            yield "resets nothing with every 0 and no kl_trigger, but still costs the reference's forward pass"

    @property
    def population_scope(self) -> Scope:
        """The step under the policy that sampled it, where there is a bound to watch."""
        return "micro_batch" if self.kl_trigger is None else "step"

    def prepare(self, population: Population) -> Turn:
        """A turn that does nothing; the first update of a step looks at the KL."""
        if self.kl_trigger is not None and population.update == 0:
            k3_N = population.gather(_k3).double()
            self._triggered = k3_N.numel() > 0 and float(k3_N.mean()) > self.kl_trigger
        return super().prepare(population)

    def renews_reference(self, steps: int) -> bool:
        """By the clock or by the bound."""
        due = self._triggered or (self.every > 0 and steps % self.every == 0)
        self._triggered = False
        self._resets += due
        return due

    def state_dict(self) -> Mapping[str, Any]:
        """How often it happened; the reference itself is the engine's to save."""
        return {"resets": self._resets}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._resets, self._triggered = int(state["resets"]), False


def _k3(_dials: Dials, batch: TokenBatch, stats: TokenStats) -> Tensor:
    log_ratio_BT = (reference_logprobs(batch) - stats.logprobs_BT).clamp(-20, 20)
    return log_ratio_BT.expm1() - log_ratio_BT

"""The nouns of steerctl: frozen dataclasses, a shape for every tensor (legend: docs/notation.md).

P problems · G rollouts per problem · B sequences of a micro-batch · T target positions (index t is the token being
predicted) · dense dimensions are joined (`rewards_PG`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Finish = Literal["stop", "length"]
Status = Literal["ok", "no_answer", "too_long", "timeout", "oom", "crash", "error", "infra_error"]
Scope = Literal["micro_batch", "update", "step"]
Need = Literal["entropy_grad", "reference", "teacher"]
Statistic = Literal["logprobs", "entropy"]
"""Of `TokenStats`, those a derivative may be asked of."""
Gradient: TypeAlias = "tuple[Tensor, ...]"
"""A gradient over all parameters as the policy holds it: opaque; only the policy that gave it can read it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat prompt, e.g. `Message("user", "What is 17 + 4?")`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with a checkable answer.

    id      unique within its data set, stable over runs, e.g. "arithmetic/3f2a"
    prompt  the chat turns before the answer, instruction included
    gold    the reference answer as text, e.g. "21"
    source  the data set it came from (`data_source` in the shared schema), e.g. "arithmetic"
    info    whatever else the data set says, e.g. {"level": "two-digit"}
    """

    id: str
    prompt: tuple[Message, ...]
    gold: str
    source: str
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is drawn: temperature > 0, top_p in (0, 1], top_k 0 = off, at most `max_tokens` new tokens."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to be continued len(seeds) times; sample i depends on nothing but weights, prompt and seeds[i]."""

    problem_id: str
    prompt_ids: tuple[int, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled response.

    token_ids_T  int32, the response with its end token if it produced one
    logprobs_T   float32 nats, as the sampler saw them at the sampling temperature
    finish       "stop" (end token) or "length" (cut at max_tokens)
    given_ids    tokens between prompt and response that were given, not sampled (rollout/branch.py): context, and part
                 of the text, never trained
    """

    token_ids_T: NDArray[np.int32]
    logprobs_T: NDArray[np.float32]
    text: str
    finish: Finish
    seed: int
    weight_version: int
    given_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one response: 1.0 right, 0.0 wrong (or between), the answer it read, and why."""

    value: float
    answer: str | None
    why: str
    status: Status = "ok"

    @property
    def judged(self) -> bool:
        """False where what judges failed, and not the response: `value` says nothing then."""
        return self.status != "infra_error"


@dataclass(frozen=True, slots=True)
class RolloutGroup:
    """The G responses to one problem with their verdicts.

    rewards_G  what the advantage estimator sees: verdict value mapped to rewards, shaping added, e.g. (1.0, 0.0)
    """

    problem: Problem
    prompt_ids: tuple[int, ...]
    rollouts: tuple[Rollout, ...]
    verdicts: tuple[Verdict, ...]
    rewards_G: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TokenStats:
    """Statistics of the policy at every target position; zero where `loss_mask_BT` is False.

    logprobs_BT    log π(target), nats, at the sampling temperature; has gradient in a training forward
    entropy_BT     Shannon entropy over the full vocabulary, nats; has gradient only if "entropy_grad" was needed
    mean_score_BT  S̄ = Σ_b π_b² (log π_b + H), detached
    collision_BT   Σ_b π_b², detached
    """

    logprobs_BT: Tensor
    entropy_BT: Tensor
    mean_score_BT: Tensor
    collision_BT: Tensor


@dataclass(frozen=True, slots=True)
class Correction:
    """What tokens count because another policy sampled them; rollout/correction.py. Detached, neutral outside the mask.

    ratio_BT    ρ = π_old / π_sampler at the correction's level (token, sequence, geometric mean), before its bounds
    outside_BT  bool, ρ is beyond a bound
    weight_BT   what the surrogate is multiplied by; 0: left out
    """

    ratio_BT: Tensor
    outside_BT: Tensor
    weight_BT: Tensor


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """A right-padded micro-batch; built only by rollout/collate.py, the one place that shifts tokens.

    input_ids_BT         int64, tokens 0..L-2 of prompt + response
    target_ids_BT        int64, tokens 1..L-1: what input_ids_BT[:, t] is followed by
    loss_mask_BT         bool, True where the target is a response token
    advantages_BT        float32, the estimator's value on trained tokens, 0 elsewhere
    rollout_logprobs_BT  float32, as reported by the sampler
    row_B                int64, index of the sequence in the whole step (problem · G + sample); -1 on a padding row
    num_tokens           trained tokens of the whole update, over all micro-batches and ranks: the loss denominator
    num_sequences        sequences of the whole update, likewise
    old                  statistics of the policy at the start of the step; None before they are computed
    ref_logprobs_BT      of the frozen reference policy; None unless an intervention needs it
    teacher_logprobs_BT  of the policy at the start of the step with a hint in its prompt; likewise
    correction           importance weights of the sampled tokens; None unless rollout.correction is set
    """

    input_ids_BT: Tensor
    target_ids_BT: Tensor
    loss_mask_BT: Tensor
    advantages_BT: Tensor
    rollout_logprobs_BT: Tensor
    row_B: Tensor
    num_tokens: int
    num_sequences: int
    old: TokenStats | None = None
    ref_logprobs_BT: Tensor | None = None
    teacher_logprobs_BT: Tensor | None = None
    correction: Correction | None = None

    @property
    def old_stats(self) -> TokenStats:
        """`old`, once the old statistics are computed."""
        if self.old is None:
            raise RuntimeError("this batch has no old statistics yet")
        return self.old


@dataclass(frozen=True, slots=True)
class Update:
    """One optimiser step: this rank's micro-batches (the same number on every rank) and the totals over all ranks."""

    index: int
    micro_batches: tuple[TokenBatch, ...]
    num_tokens: int
    num_sequences: int


@dataclass(frozen=True, slots=True)
class Dials:
    """What an intervention may turn; the loss reads nothing else (design: the narrow waist).

    advantages_BT              detached; neutral: the estimator's value
    weight_BT                  detached; neutral: 1
    clip_low_BT, clip_high_BT  detached; the ratio is held in [1 - clip_low, 1 + clip_high]; infinity: no bound
    penalty_BT                 gradient flows; neutral: 0
    """

    advantages_BT: Tensor
    weight_BT: Tensor
    clip_low_BT: Tensor
    clip_high_BT: Tensor
    penalty_BT: Tensor


@dataclass(frozen=True, slots=True)
class OptimizerReport:
    """What the optimiser did in one update: gradient norm before clipping, learning rate used."""

    grad_norm: float
    learning_rate: float

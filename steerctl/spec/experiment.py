"""One experiment, as strict models. Every default stands here or in a plug-in's field, and nowhere else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from steerctl.advantage import Advantage
from steerctl.advantage.grpo import Grpo
from steerctl.data import Dataset
from steerctl.data.templates import TemplateName
from steerctl.intervention import Intervention
from steerctl.loss import Surrogate
from steerctl.loss.ppo_clip import PpoClip
from steerctl.loss.reduction import Reduction
from steerctl.plugins import AnyOf, Strict
from steerctl.reward import VerifierSpec
from steerctl.reward.overlong import Overlong
from steerctl.spec.analysis import AnalysisSpec
from steerctl.spec.branching import BranchingSpec
from steerctl.spec.correction import CorrectionSpec
from steerctl.spec.evaluation import EvaluationSpec
from steerctl.spec.generator import EmbeddedGenerator, GeneratorSpec

Fraction = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]

# Generous: far beyond what anyone runs, so that some zeros too many are a line and not an exhausted machine.
Steps = Annotated[int, Field(gt=0, le=10**7)]
Count = Annotated[int, Field(gt=0, le=10**5)]
Tokens = Annotated[int, Field(gt=0, le=2**20)]
Ranks = Annotated[int, Field(gt=0, le=4096)]
MAX_SEQUENCES = 10**6


LATEST = "latest"
"""What the run folders' pointer to the newest one is called."""


class PolicySpec(Strict):
    """The model that is trained."""

    model: str = "tiny"
    """"tiny" (the embedded policy), a folder in Hugging Face format, or a Hugging Face model id."""
    revision: str | None = None
    """Branch, tag or commit of a Hugging Face model id."""
    random_weights: bool = False
    """Keep the architecture and the tokenizer, draw fresh weights from `seed`."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the working weights; optimiser state is float32 either way."""
    trust_remote_code: bool = False
    """Let Python code that comes with the model run."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""


class DataSpec(Strict):
    """The problems and how they are asked."""

    train: Annotated[Dataset, AnyOf("steerctl.data")]
    """Problems to train on."""
    validation: Annotated[Dataset, AnyOf("steerctl.data")] | None = None
    """Problems to measure accuracy on during training; never trained on."""
    template: TemplateName = "plain"
    """Instruction around the problem text: boxed, dapo (last line "Answer: ..."), or plain (as it is)."""
    max_prompt_tokens: Tokens = 1024
    """Longer prompts are left out, and counted."""


class DynamicSampling(Strict):
    """DAPO's dynamic sampling: groups in which all answers are right, or all wrong, are replaced by fresh ones."""

    max_rounds: PositiveInt = 10
    """Give up refilling after this many rounds of generation in a step (DAPO recipe: 10)."""


class RolloutSpec(Strict):
    """How responses are sampled."""

    generator: GeneratorSpec = EmbeddedGenerator()
    """What samples: embedded for small models, vllm for all others; docs/generation.md."""
    problems_per_step: Count = 64
    """Problems asked in one step."""
    group_size: Count = 8
    """Responses to each problem."""
    temperature: Annotated[float, Field(ge=1e-3, allow_inf_nan=False)] = 1.0
    """Sampling temperature; log-probabilities and entropies are those of the policy at this temperature."""
    top_p: Fraction = 1.0
    """Tokens are drawn from the likeliest ones that hold this share of the probability; 1: off."""
    top_k: NonNegativeInt = 0
    """Tokens are drawn from so many likeliest ones; 0: off."""
    max_tokens: Tokens = 48
    """New tokens at most; a longer response is cut."""
    dynamic_sampling: DynamicSampling | None = None
    """None: every group is trained on."""
    correction: CorrectionSpec | None = None
    """What a token counts by trainer against sampler probability (TIS, MIS, IcePop); None: every token alike."""
    branching: BranchingSpec | None = None
    """Some responses of a group branch off from others (CURE); None: all start at the prompt."""
    ahead: Literal[0, 1] = 0
    """1: the responses of the next step are sampled while this one is trained, by weights that are one push older."""

    @model_validator(mode="after")
    def _branches_fill_the_group(self) -> RolloutSpec:
        if self.branching is None:
            return self
        if self.branching.group_size != self.group_size:
            raise ValueError(
                f"group_size ({self.group_size}) must be branching.roots · (1 + branching.branches), here "
                f"{self.branching.group_size}"
            )
        if self.ahead:
            raise ValueError("branching asks the trained policy where to branch, so it cannot run ahead; set ahead: 0")
        return self

    @property
    def sequences_per_step(self) -> int:
        """Responses in one step."""
        return self.problems_per_step * self.group_size


class RewardSpec(Strict):
    """How a verdict becomes a reward."""

    verifier: Annotated[VerifierSpec, AnyOf("steerctl.reward")]
    """What judges a response."""
    correct: Finite = 1.0
    """Reward of a verdict of 1."""
    incorrect: Finite = 0.0
    """Reward of a verdict of 0; between the two the reward is linear."""
    overlong: Overlong | None = None
    """DAPO's soft penalty on length; None: no penalty."""


class AlgorithmSpec(Strict):
    """Credit, surrogate, interventions."""

    advantage: Annotated[Advantage, AnyOf("steerctl.advantage")] = Grpo()
    """How a group's rewards become advantages."""
    loss: Annotated[Surrogate, AnyOf("steerctl.loss")] = PpoClip()
    """The surrogate of a token and its clip bounds."""
    reduction: Reduction = "token_mean"
    """How token losses become one number; see steerctl/loss/reduction.py."""
    constant_norm_length: Tokens | None = None
    """Divisor per sequence of reduction `constant_norm`; None: rollout.max_tokens."""
    interventions: list[Annotated[Intervention, AnyOf("steerctl.intervention")]] = Field(default=[])
    """Folded over the neutral dials, left to right; empty: the baseline."""


class OptimSpec(Strict):
    """AdamW and how often it steps."""

    lr: Positive = 1e-6
    """Learning rate after warm-up."""
    betas: tuple[Decay, Decay] = Field(default=(0.9, 0.999), strict=False)
    """AdamW's β₁ and β₂."""
    eps: Positive = 1e-8
    """AdamW's ε."""
    weight_decay: NonNegative = 0.01
    """Decoupled, as in AdamW."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this norm; infinity: they are not."""
    warmup_updates: NonNegativeInt = 0
    """The learning rate rises linearly over this many optimiser steps, then stays."""
    updates_per_step: Count = 4
    """Optimiser steps on each batch of rollouts; the groups are dealt out evenly."""


class EngineSpec(Strict):
    """DeepSpeed and the processes it runs in."""

    ranks: Ranks = 1
    """Training processes; on GPU one per device."""
    threads_per_rank: Ranks = 1
    """CPU threads of each process; more than the cores there are is slower than fewer."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where there is a GPU."""
    zero_stage: Literal[0, 1, 2, 3] = 3
    """What ranks share out: 1 optimiser state, 2 gradients too, 3 weights too; 0 nothing."""
    offload_optimizer: bool = False
    """Keep optimiser state in CPU memory (GPU training, stages 1 to 3)."""
    offload_parameters: bool = False
    """Keep weights in CPU memory between uses (GPU training, stage 3)."""
    micro_batch_tokens: PositiveInt = 16384
    """Padded tokens in one forward pass of one rank; a longer single sequence still runs, alone."""
    hostfile: str | None = None
    """DeepSpeed hostfile for several machines; None: this machine."""


class CheckpointSpec(Strict):
    """What is kept on disk to go on from."""

    every: PositiveInt = 10
    """Steps between checkpoints; an interrupt writes one too."""
    keep: PositiveInt = 2
    """Newest checkpoints kept."""
    export: bool = True
    """Write the final policy in Hugging Face format."""


class LogSpec(Strict):
    """What is shown and sent elsewhere; metrics.jsonl is always written."""

    wandb: Literal["off", "offline", "online"] = "off"
    """Weights & Biases: online after `wandb login`; offline writes files into the run folder for `wandb sync`."""
    wandb_project: str = "steerctl"
    """Project of the run at wandb."""
    wandb_entity: str | None = None
    """User or team at wandb; None: the account's default."""
    rollouts_every: NonNegativeInt = 1
    """Steps between saved rollouts (parquet, with per-token arrays); 0: none."""
    entropy_after_every: NonNegativeInt = 1
    """Steps between measurements of every trained token's entropy after the update, at the same state: one more
    forward pass over the step's responses; 0: never."""


def _not_latest(name: str) -> str:
    if name == LATEST:
        raise ValueError(f"a run cannot be called {LATEST}: that name points to the newest run; choose another")
    return name


class ExperimentSpec(Strict):
    """One experiment: what `steerctl train` runs."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200), AfterValidator(_not_latest)]
    """Name of the run folder."""
    output: str = "runs"
    """Folder that holds run folders, relative to where steerctl is started."""
    seed: Seed = 1
    """Decides problems, their order, every sampled token and fresh weights."""
    steps: Steps = 100
    """Sample-and-train iterations."""
    validate_every: NonNegativeInt = 0
    """Steps between measurements on data.validation; 0: never."""
    validation_samples: Count = 1
    """Responses to each validation problem."""
    policy: PolicySpec = PolicySpec()
    data: DataSpec
    rollout: RolloutSpec = RolloutSpec()
    reward: RewardSpec
    algorithm: AlgorithmSpec = AlgorithmSpec()
    optim: OptimSpec = OptimSpec()
    engine: EngineSpec = EngineSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()
    log: LogSpec = LogSpec()
    analysis: AnalysisSpec = AnalysisSpec()
    evaluation: EvaluationSpec | None = None
    """Benchmarks that the policy is measured on during training; None: none."""

    @model_validator(mode="after")
    def _updates_divide_the_step(self) -> ExperimentSpec:
        if self.rollout.problems_per_step % self.optim.updates_per_step:
            raise ValueError(
                f"rollout.problems_per_step ({self.rollout.problems_per_step}) must be divisible by "
                f"optim.updates_per_step ({self.optim.updates_per_step})"
            )
        return self

    @model_validator(mode="after")
    def _a_step_fits_in_memory(self) -> ExperimentSpec:
        if self.rollout.sequences_per_step > MAX_SEQUENCES:
            raise ValueError(
                f"rollout.problems_per_step ({self.rollout.problems_per_step}) times rollout.group_size "
                f"({self.rollout.group_size}) must not exceed {MAX_SEQUENCES:,} responses in one step"
            )
        return self

    @model_validator(mode="after")
    def _length_penalty_fits(self) -> ExperimentSpec:
        overlong = self.reward.overlong
        if overlong is not None and overlong.cache_tokens > self.rollout.max_tokens:
            raise ValueError(
                f"reward.overlong.cache_tokens ({overlong.cache_tokens}) must not exceed "
                f"rollout.max_tokens ({self.rollout.max_tokens})"
            )
        return self

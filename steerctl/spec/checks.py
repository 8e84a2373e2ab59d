"""What will hurt later, seen in the experiment before anything is started.

Each check is a pure function of the experiment and of the facts of the machine it will run on; `machine` None means
another machine, and leaves out what only that one can answer (files, devices, cores).
"""

from __future__ import annotations

from collections.abc import Callable

from steerctl.errors import ModelError, SpecError
from steerctl.spec.combinations import (
    bounds_that_fit,
    inert_interventions,
    loss_settings,
    order_of_interventions,
    rewards_that_count,
)
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.files import enough_problems, files_exist, output_folder
from steerctl.spec.finding import Finding, Findings, Level
from steerctl.spec.load import LoadedSpec
from steerctl.spec.machine import Machine
from steerctl.spec.model_facts import CPU_VLLM_HEAD_SIZES, TINY, describe_local
from steerctl.spec.serving import serving
from steerctl.spec.staleness import correction_bounds, stale_rollouts


def check_spec(spec: ExperimentSpec, machine: Machine | None) -> list[Finding]:
    """Every finding, errors first."""
    found = [finding for check in CHECKS for finding in check(spec, machine)]
    order: tuple[Level, ...] = ("error", "warning", "note")
    return sorted(found, key=lambda finding: order.index(finding.level))


def require_ready(loaded: LoadedSpec, machine: Machine | None) -> list[Finding]:
    """The warnings and notes of an experiment that can run. Raises SpecError, one line per error, if it cannot."""
    found = check_spec(loaded.spec, machine)
    errors = [finding for finding in found if finding.level == "error"]
    if errors:
        raise SpecError("\n".join(f"{loaded.blame(each.path, each.text)}: {each.path}: {each.text}" for each in errors))
    return found


def runs_on_cpu(spec: ExperimentSpec, machine: Machine | None) -> bool:
    """Whether training will be on CPU; on an unknown machine only if the experiment says so."""
    if spec.engine.device == "auto":
        return machine is not None and machine.gpus == 0
    return spec.engine.device == "cpu"


def influence(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001 (one signature)
    """Estimator `influence` is about the gradients of a whole update, taken in float32."""
    for index, each in enumerate(spec.algorithm.interventions):
        if getattr(each, "estimator", None) != "influence":
            continue
        if each.population_scope != "update":
            text = "estimator influence needs scope update: it is about the gradients of a whole update"
            yield Finding("error", f"algorithm.interventions.{index}", text)
        if spec.policy.dtype != "float32":
            text = "estimator influence needs float32: its step is lost in bfloat16 weights"
            yield Finding("error", "policy.dtype", text)


def probe(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """What a probe of `analysis.probe` cannot do, or would do in vain."""
    found = spec.analysis.probe
    if found is None:
        return
    for name in ("first_order", "influence"):
        if getattr(found, name) and spec.policy.dtype != "float32":
            text = "needs policy.dtype float32: its step is lost in bfloat16 weights; set it to false"
            yield Finding("error", f"analysis.probe.{name}", text)
    updates = spec.steps * spec.optim.updates_per_step
    if found.every >= updates:
        text = f"the run has {updates} updates, so only the first is looked at"
        yield Finding("note", "analysis.probe.every", text)
    sequences = min(found.sequences, spec.rollout.sequences_per_step // spec.optim.updates_per_step)
    room = sequences * spec.rollout.max_tokens
    if found.positions > room:
        text = f"{sequences} responses have at most {room} tokens: all of them are looked at"
        yield Finding("note", "analysis.probe.positions", text)


def batch_shape(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """Enough sequences in an update for every rank; the even split over updates is a rule of the spec itself."""
    rollout, ranks = spec.rollout, spec.engine.ranks
    sequences = rollout.sequences_per_step // spec.optim.updates_per_step
    if sequences < ranks:
        text = f"an update has {sequences} sequences for {ranks} ranks: some ranks have nothing to do"
        yield Finding("warning", "engine.ranks", text)
    elif sequences % ranks:
        text = f"an update's {sequences} sequences do not divide evenly over {ranks} ranks; some ranks will wait"
        yield Finding("note", "engine.ranks", text)
    if spec.optim.warmup_updates >= spec.steps * spec.optim.updates_per_step:
        text = f"the run has {spec.steps * spec.optim.updates_per_step} updates, so the learning rate never reaches lr"
        yield Finding("warning", "optim.warmup_updates", text)


def groups_carry_signal(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """A group of one has nothing to be compared with; equal rewards teach nothing."""
    advantage, size = spec.algorithm.advantage, spec.rollout.group_size
    replaced = any("advantages" in each.replaces for each in spec.algorithm.interventions)
    if size < advantage.least_group_size and not replaced:
        least = f"needs {advantage.least_group_size} or more of them, got {size}"
        text = f"{advantage.kind} compares the responses to a problem and {least}; raise it, or take reinforce_pp"
        yield Finding("error", "rollout.group_size", text)
    if spec.rollout.group_size == 1 and spec.rollout.dynamic_sampling is not None:
        text = "a group of one is all right or all wrong, so every group would be replaced; take a group_size above 1"
        yield Finding("error", "rollout.dynamic_sampling", text)
    if spec.reward.correct <= spec.reward.incorrect:
        text = (
            f"a right answer earns {spec.reward.correct:g}, a wrong one {spec.reward.incorrect:g}: training to be wrong"
        )
        yield Finding("warning", "reward.correct", text)


def reduction_settings(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """`constant_norm` and its divisor belong together."""
    length, reduction = spec.algorithm.constant_norm_length, spec.algorithm.reduction
    if reduction == "constant_norm" and length is None:
        text = (
            f"not given, so rollout.max_tokens ({spec.rollout.max_tokens}) divides: another length, another step size"
        )
        yield Finding("note", "algorithm.constant_norm_length", text)
    if reduction != "constant_norm" and length is not None:
        yield Finding("warning", "algorithm.constant_norm_length", f"is not read with algorithm.reduction {reduction}")


def sampling(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """What is sampled should be what is trained; lengths should fit each other."""
    rollout, overlong = spec.rollout, spec.reward.overlong
    for name, cut in (("top_p", rollout.top_p < 1), ("top_k", rollout.top_k > 0)):
        if cut:
            text = (
                "cuts the distribution that is sampled but not the one that is trained: ratios, log-probabilities and"
                " entropies are of the whole policy, and the mismatch metric will not be near 0"
            )
            yield Finding("warning", f"rollout.{name}", text)
    if overlong is not None and overlong.cache_tokens >= rollout.max_tokens:
        text = f"must be below rollout.max_tokens ({rollout.max_tokens}): now every response is penalised"
        yield Finding("warning", "reward.overlong.cache_tokens", text)


def validation(spec: ExperimentSpec, machine: Machine | None) -> Findings:  # noqa: ARG001
    """Validation on other problems than those trained on, and at some time."""
    data = spec.data
    if data.validation is None:
        if spec.validate_every:
            yield Finding(
                "error", "validate_every", "there is no data.validation to measure on; add it, or set this to 0"
            )
        return
    if not spec.validate_every:
        yield Finding("note", "data.validation", "is never measured: validate_every is 0")
    if data.validation == data.train:
        yield Finding(
            "warning", "data.validation", "is the training data: its accuracy says nothing about other problems"
        )


def model_fits(spec: ExperimentSpec, machine: Machine | None) -> Findings:
    """The model is there, and long enough; vLLM on a CPU can serve its heads."""
    if machine is None and spec.policy.model != TINY:
        return
    try:
        facts = describe_local(spec.policy.model)
    except ModelError as error:
        yield Finding("error", "policy.model", str(error))
        return
    if facts is None:
        return
    if facts.logits_bent_by:
        text = f"this architecture changes logits after its head ({', '.join(facts.logits_bent_by)}), which the token"
        yield Finding("error", "policy.model", f"{text} statistics do not reproduce; use another architecture")
    total = spec.data.max_prompt_tokens + spec.rollout.max_tokens
    if facts.max_positions is not None and total > facts.max_positions:
        text = f"with rollout.max_tokens up to {total} tokens; the model was made for {facts.max_positions}"
        yield Finding("warning", "data.max_prompt_tokens", text)
    if not runs_on_cpu(spec, machine):
        return
    with_vllm = str(spec.rollout.generator.kind) == "vllm"
    if facts.head_dim is not None and facts.head_dim not in CPU_VLLM_HEAD_SIZES:
        sizes = ", ".join(map(str, sorted(CPU_VLLM_HEAD_SIZES)))
        text = (
            f"attention heads of size {facts.head_dim}: vLLM on a CPU serves {sizes} only and dies at the first request"
        )
        advice = "; use the embedded generator" if with_vllm else "; the embedded generator is not affected"
        yield Finding("error" if with_vllm else "note", "policy.model", text + advice)


def tied_head(spec: ExperimentSpec, machine: Machine | None) -> Findings:
    """Where vLLM servers get a head of their own for one that is the embedding (engine/vllm/generator.py)."""
    generator = spec.rollout.generator
    attached = generator.kind == "vllm" and bool(generator.urls)
    if generator.kind != "vllm" or not (attached or runs_on_cpu(spec, machine)):
        return
    try:
        facts = describe_local(spec.policy.model) if machine is not None or spec.policy.model == TINY else None
    except ModelError:  # said already
        return
    if facts is not None and facts.tied_embeddings is False:
        return
    tied = "is" if facts is not None and facts.tied_embeddings else "may be"
    where = "one of urls that runs on a CPU" if attached else "vLLM on a CPU"
    text = (
        f"the output head {tied} tied to the embedding: {where} would keep the old head when weights are pushed, so the"
        " head is served untied and pushed by itself, which costs its memory a second time"
    )
    yield Finding("note", "policy.model", text)


def offload(spec: ExperimentSpec, machine: Machine | None) -> Findings:
    """Offloading moves what a GPU holds into CPU memory, at the stages that let it."""
    engine = spec.engine
    for name, stage in (("offload_optimizer", 2), ("offload_parameters", 3)):
        if not getattr(engine, name):
            continue
        if runs_on_cpu(spec, machine):
            yield Finding("error", f"engine.{name}", "is for training on GPU; on a CPU there is nowhere to offload to")
        elif engine.zero_stage < stage:
            yield Finding("error", f"engine.{name}", f"needs zero_stage {stage} or more, got {engine.zero_stage}")


def devices(spec: ExperimentSpec, machine: Machine | None) -> Findings:
    """Enough devices and cores; bfloat16 where it is slow; a login where one is needed."""
    if machine is None:
        return
    engine, on_cpu, here = spec.engine, runs_on_cpu(spec, machine), spec.engine.hostfile is None
    if engine.device == "cuda" and machine.gpus == 0:
        yield Finding("error", "engine.device", "no CUDA device on this machine; set device: cpu, or auto")
    if here and not on_cpu and engine.ranks > machine.gpus:
        text = f"{engine.ranks} ranks need a GPU each, this machine has {machine.gpus}; lower it, or give a hostfile"
        yield Finding("error", "engine.ranks", text)
    if here and on_cpu and engine.ranks * engine.threads_per_rank > machine.cores:
        text = (
            f"{engine.ranks} ranks with {engine.threads_per_rank} threads on {machine.cores} cores: slower than fewer"
        )
        yield Finding("warning", "engine.threads_per_rank", text)
    if on_cpu and spec.policy.dtype == "bfloat16" and not machine.cpu_bfloat16:
        yield Finding("note", "policy.dtype", "this CPU has no bfloat16 instructions: slower than float32, and coarser")
    if spec.log.wandb == "online" and not machine.wandb_login:
        text = "no WANDB_API_KEY and no login for api.wandb.ai; run `wandb login`, or set offline"
        yield Finding("warning", "log.wandb", text)


CHECKS: tuple[Callable[[ExperimentSpec, Machine | None], Findings], ...] = (
    inert_interventions,
    order_of_interventions,
    bounds_that_fit,
    rewards_that_count,
    loss_settings,
    influence,
    probe,
    batch_shape,
    groups_carry_signal,
    reduction_settings,
    sampling,
    stale_rollouts,
    correction_bounds,
    validation,
    enough_problems,
    files_exist,
    output_folder,
    model_fits,
    tied_head,
    offload,
    devices,
    serving,
)

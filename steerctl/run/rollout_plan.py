"""What one `steerctl rollout` samples, and from what: decided before anything is started."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from steerctl.data import Dataset
from steerctl.data.order import problem_at
from steerctl.data.templates import Tokenizer
from steerctl.data.tokenise import PreparedProblems
from steerctl.engine.launch import limit_threads
from steerctl.engine.models import load_tokenizer
from steerctl.engine.origin import Engine, engine_of, model_hash
from steerctl.errors import RunFolderError, SpecError
from steerctl.run.collecting import prepared_problems
from steerctl.run.sampling import busy_chunk
from steerctl.spec.checks import check_spec
from steerctl.spec.experiment import ExperimentSpec
from steerctl.spec.load import LoadedSpec, dump_spec, load_spec
from steerctl.spec.machine import Machine
from steerctl.store.record import RunRecord, is_run_folder, resolve
from steerctl.types import Problem

Split = Literal["train", "validation"]
STEPS: Mapping[Split, int] = {"train": 0, "validation": -1}
"""Of the seeds: what is sampled is what a run would sample in its first step, and in its validation before that."""
READ = ("data.", "policy.", "rollout.generator", "engine.device")
"""The parts of an experiment that sampling reads: an error elsewhere is one of training."""
DECIDING = ("kind", "max_sequences")
"""Settings of a generator that decide what is sampled; the others say how it runs, and may change under way."""


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """What was asked for.

    model         weights to sample from: a model folder, or a run folder with an exported policy; None: the spec's
    num_problems  None: each problem once
    out           None: OUTPUT/NAME-SPLIT.parquet
    entropies     also the policy's own log-probability and entropy at every token
    chunk         problems of a part; None: as many as keep the generator busy
    """

    experiment: str
    overrides: tuple[str, ...] = ()
    model: Path | None = None
    num_problems: int | None = None
    split: Split = "train"
    out: Path | None = None
    overwrite: bool = False
    entropies: bool = False
    chunk: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be sampled, and from what."""

    spec: ExperimentSpec
    request: RolloutRequest
    tokenizer: Tokenizer
    prompts: PreparedProblems
    engine: Engine
    model_hash: str
    total: int

    @property
    def group_size(self) -> int:
        """Responses to each problem."""
        return self.spec.rollout.group_size if self.request.split == "train" else self.spec.validation_samples

    @property
    def chunk(self) -> int:
        """Problems of a part."""
        return self.request.chunk or busy_chunk(self.spec, self.group_size)

    def origin(self) -> dict[str, Any]:
        """Everything that decides what is in the file."""
        spec = json.loads(dump_spec(self.spec))
        generator = {key: value for key, value in spec["rollout"]["generator"].items() if key in DECIDING}
        rollout = {key: spec["rollout"][key] for key in ("temperature", "top_p", "top_k", "max_tokens")}
        data = {key: spec["data"][key] for key in (self.request.split, "template", "max_prompt_tokens")}
        return {
            "experiment": {
                "seed": spec["seed"],
                "policy": {key: spec["policy"][key] for key in ("model", "dtype", "random_weights")},
                "data": data,
                "rollout": {**rollout, "group_size": self.group_size, "generator": generator},
                "reward": spec["reward"],
            },
            "split": self.request.split,
            "problems": {"count": self.total, "hash": self._problems_hash()},
            "entropies": self.request.entropies,
            "engine": {"name": self.engine.name, "version": self.engine.version},
            "model_hash": self.model_hash,
        }

    def asked(self) -> list[Problem]:
        """The problems that are asked, each once."""
        return [self.prompts.problems[index] for index in dict.fromkeys(self._places())]

    def _places(self) -> list[int]:
        size = len(self.prompts.problems)
        return [problem_at(position, size, self.spec.seed) for position in range(self.total)]

    def _problems_hash(self) -> str:
        digest = hashlib.sha256()
        for place in self._places():
            problem = self.prompts.problems[place]
            digest.update(repr((problem.id, problem.gold, self.prompts.prompt_ids[place])).encode())
        return digest.hexdigest()[:16]


def make_plan(request: RolloutRequest) -> Plan:
    """Load the experiment, the tokenizer and the problems.

    Raises:
        UserError: the experiment, the data or the model cannot be used.
    """
    overrides = [*request.overrides]
    if request.model is not None:
        overrides += [f"policy.model={json.dumps(str(model_of(request.model)))}", "policy.random_weights=false"]
    loaded = load_spec(request.experiment, overrides)
    require_ready_to_sample(loaded)
    spec = loaded.spec
    limit_threads(spec.engine.threads_per_rank)
    dataset: Dataset | None = spec.data.train if request.split == "train" else spec.data.validation
    if dataset is None:
        raise SpecError(f"{request.experiment}: has no data.validation; add it, or sample --split train")
    tokenizer = load_tokenizer(spec.policy)
    prompts = prepared_problems(spec, dataset, tokenizer)
    engine, digest = engine_of(spec.rollout.generator), model_hash(spec.policy, spec.seed)
    total = request.num_problems or len(prompts.problems)
    return Plan(spec, request, tokenizer, prompts, engine, digest, total)


def require_ready_to_sample(loaded: LoadedSpec) -> None:
    """Raise SpecError, one line per error, if what sampling reads of the experiment cannot be."""
    found = [finding for finding in check_spec(loaded.spec, Machine.here()) if finding.level == "error"]
    if errors := [finding for finding in found if finding.path.startswith(READ)]:
        raise SpecError("\n".join(f"{loaded.origin(each.path)}: {each.path}: {each.text}" for each in errors))


def model_of(path: Path) -> Path:
    """A model folder as it is; of a run folder, the policy it exported."""
    where = resolve(path)
    if not is_run_folder(where):
        return path
    model = RunRecord(where).model
    if not model.exists():
        raise RunFolderError(f"{path}: this run has exported no policy yet; name a model folder")
    return model

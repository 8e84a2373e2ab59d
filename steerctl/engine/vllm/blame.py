"""Which parameters a server has wrong, once its log-probabilities are seen to differ from the trainer's.

Two questions, answered in this order. (1) Is the folder that was pushed what the trainer has? Every parameter is
compared, so the answer is exact. (2) If it is: a server that did not take over a part still has the previous weights
there. For each group of parameters (embedding, layer i, final norm, head, and all at once) a plain copy of the model
gets the previous weights in that group and the new ones elsewhere; the group that reproduces the server's numbers best
is the culprit, if it does so much better than the new weights. The parameters of the nearest groups are tried one by
one too. Best effort: it needs the previous folder, one group or one parameter to be the cause, and a forward pass on
the CPU for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from steerctl.engine.models import load_model
from steerctl.spec.experiment import PolicySpec

LAYER = re.compile(r"^(.*\blayers?\.\d+|.*\bh\.\d+)\.")
NAMED = 3
"""Parameters named in a message; the others are counted."""
CLOSER = 10.0
"""How many times closer a hypothesis must be than the new weights are, to be reported when none is within tolerance."""
SUSPECTS = 3
"""Nearest groups whose parameters are also tried one by one."""
EVERYTHING = "every parameter"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said of one response: its tokens and their log-probabilities, nats."""

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the pushed weights are, and those before them, if they are still there."""

    policy: PolicySpec
    current: Path
    previous: Path | None


def blame(
    weights: Iterable[tuple[str, Tensor]],
    folders: Folders,
    answers: Sequence[Answer],
    *,
    temperature: float,
    tolerance: float,
) -> str:
    """One clause for an error message. Exhausts `weights`, the trainer's own."""
    wrong = changed(weights, folders.current)
    if wrong:
        return f"the pushed weights are not the trainer's in {listed(wrong)}"
    if folders.previous is None:
        return "the pushed weights are the trainer's, and there are no earlier ones to compare with"
    found = _stale(_Hypotheses(folders, answers, temperature), tolerance)
    if found is None:
        return "the pushed weights are the trainer's, and no group with its previous weights explains the difference"
    return f"the server still has the previous weights in {found}"


def changed(weights: Iterable[tuple[str, Tensor]], folder: Path) -> list[str]:
    """Names of the parameters that the folder does not hold, or holds with other values."""
    stored = _Stored(folder)
    return [name for name, value in weights if not stored.equals(name, value)]


def group_of(name: str) -> str:
    """The group of a parameter: its layer, or itself without `.weight`; e.g. "model.layers.3", "lm_head"."""
    layer = LAYER.match(name)
    return layer.group(1) if layer is not None else name.removesuffix(".weight")


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


class _Stored:
    """The tensors of a weight folder, by name."""

    def __init__(self, folder: Path) -> None:
        files: list[Any] = [safe_open(path, framework="pt") for path in sorted(folder.glob("*.safetensors"))]
        self._where = {name: file for file in files for name in file.keys()}  # noqa: SIM118 (not a mapping)

    def names(self) -> list[str]:
        return list(self._where)

    def get(self, name: str) -> Tensor:
        tensor: Tensor = self._where[name].get_tensor(name)
        return tensor

    def equals(self, name: str, value: Tensor) -> bool:
        return name in self._where and torch.equal(self.get(name), value.detach().cpu())


class _Hypotheses:
    """A plain copy of the pushed model in which parameters can be given their previous values for a moment."""

    def __init__(self, folders: Folders, answers: Sequence[Answer], temperature: float) -> None:
        self._answers, self._temperature = answers, temperature
        self._new, self._old = _Stored(folders.current), _Stored(folders.previous or folders.current)
        here = {"model": str(folders.current), "revision": None, "random_weights": False}
        self._model = load_model(folders.policy.model_copy(update=here), seed=0)
        self._own: dict[str, Tensor] = dict(self._model.named_parameters())
        known = [name for name in self._own if name in self._old.names()]
        self.moved = [name for name in known if not self._new.equals(name, self._old.get(name))]

    @torch.no_grad()
    def distance(self, names: Sequence[str]) -> float:
        """Largest |log π_model − log π_server| over the answers' tokens with the previous values in `names`."""
        for name in names:
            self._own[name].copy_(self._old.get(name))
        worst = 0.0
        for answer in self._answers:
            ids_L = torch.tensor([*answer.prompt_ids, *answer.token_ids])
            logits_TV = self._model(ids_L[None, :-1]).logits[0, len(answer.prompt_ids) - 1 :]
            logprobs_TV = (logits_TV.float() / self._temperature).log_softmax(dim=-1)
            logprobs_T = logprobs_TV.gather(1, ids_L[len(answer.prompt_ids) :, None])[:, 0]
            worst = max(worst, float((logprobs_T - torch.tensor(answer.logprobs)).abs().max()))
        for name in names:
            self._own[name].copy_(self._new.get(name))
        return worst

    def distances(self, groups: Mapping[str, Sequence[str]]) -> dict[str, float]:
        """The distance of every group, nearest first."""
        found = {group: self.distance(names) for group, names in groups.items()}
        return dict(sorted(found.items(), key=lambda item: item[1]))


def _stale(tried: _Hypotheses, tolerance: float) -> str | None:
    """The group, or the one parameter in a group, whose previous values explain the answers best, if they do."""
    groups: dict[str, list[str]] = {}
    for name in tried.moved:
        groups.setdefault(group_of(name), []).append(name)
    if not groups:
        return None
    bound = max(tolerance, tried.distance(()) / CLOSER)
    found = tried.distances(groups)
    suspects = [name for group in list(found)[:SUSPECTS] if len(groups[group]) > 1 for name in groups[group]]
    found |= tried.distances({EVERYTHING: tried.moved})
    found |= tried.distances({name: [name] for name in suspects})
    best = min(found, key=lambda each: found[each])
    return best if found[best] <= bound else None

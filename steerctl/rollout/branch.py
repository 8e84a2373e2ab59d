"""CURE's sampling: responses that branch off from others where the policy was unsure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerctl.protocols import Generator, MeasuredPolicy
from steerctl.rollout.collate import collate
from steerctl.spec.branching import BranchingSpec
from steerctl.types import Problem, Request, Rollout, RolloutGroup, Sampling, Verdict


@dataclass(frozen=True)
class BranchingGenerator:
    """`protocols.Generator` around another: `roots` seeds of a request are sampled, the rest branch off from them.

    Entropies are the trainer's, over the full vocabulary at the sampling temperature, so `generate` is collective. A
    branch's place depends on its seed, its root and the entropies alone.
    """

    inner: Generator
    policy: MeasuredPolicy
    tokenizer: Any
    spec: BranchingSpec
    micro_batch_tokens: int
    device: str

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        """Of each request the roots, then the branches of the first root, of the second, ...; one per seed."""
        roots = self.inner.generate(
            [replace(request, seeds=request.seeds[: self.spec.roots]) for request in requests], sampling
        )
        stems = [
            self._stem(request, place, root, entropy_T, sampling)
            for request, group, entropies in zip(requests, roots, self._entropies(requests, roots), strict=True)
            for place, (root, entropy_T) in enumerate(zip(group, entropies, strict=True))
        ]
        flat = [branch for stem in stems for branch in stem]
        sampled = self.inner.generate([request for request, _ in flat], sampling)
        tails = iter(self._joined(given, tail, sampling) for (_, given), (tail,) in zip(flat, sampled, strict=True))
        count = self.spec.roots * self.spec.branches
        return [(*group, *(next(tails) for _ in range(count))) for group in roots]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """As the inner generator."""
        self.inner.load_weights(weights, version)

    def close(self) -> None:
        """As the inner generator."""
        self.inner.close()

    def _stem(
        self, request: Request, place: int, root: Rollout, entropy_T: np.ndarray, sampling: Sampling
    ) -> list[tuple[Request, tuple[int, ...]]]:
        """The requests for one root's branches, each with the tokens it is given."""
        first = self.spec.roots + place * self.spec.branches
        stems = []
        for seed in request.seeds[first : first + self.spec.branches]:
            given = tuple(root.token_ids_T[: self._place(root, entropy_T, seed)].tolist())[: sampling.max_tokens - 1]
            stems.append((Request(request.problem_id, (*request.prompt_ids, *given), (seed,)), given))
        return stems

    def _place(self, root: Rollout, entropy_T: np.ndarray, seed: int) -> int:
        """Index of the token that the branch with this seed draws anew; 0 if none may be chosen."""
        count = len(root.token_ids_T) - (root.finish == "stop")
        pieces = [
            self.tokenizer.decode([token], skip_special_tokens=True).strip()
            for token in root.token_ids_T[:count].tolist()
        ]
        open_T = [t for t in range(1, count) if len(pieces[t]) >= self.spec.min_characters]
        # Rounded, so that equal states stay equal whatever micro-batch each was measured in.
        open_T.sort(key=lambda t: (-round(float(entropy_T[t]), 5), t))
        chosen = open_T[: self.spec.top]
        return chosen[int(np.random.Generator(np.random.Philox(key=seed)).integers(len(chosen)))] if chosen else 0

    def _joined(self, given: tuple[int, ...], tail: Rollout, sampling: Sampling) -> Rollout:
        """The branch: its own tokens, the text of the whole, cut at max_tokens of the whole."""
        left = sampling.max_tokens - len(given)
        cut = len(tail.token_ids_T) > left
        ids_T = tail.token_ids_T[:left]
        return replace(
            tail,
            token_ids_T=ids_T,
            logprobs_T=tail.logprobs_T[:left],
            text=self.tokenizer.decode([*given, *ids_T.tolist()], skip_special_tokens=True),
            finish="length" if cut else tail.finish,
            given_ids=given,
        )

    def _entropies(self, requests: Sequence[Request], roots: Sequence[tuple[Rollout, ...]]) -> list[list[np.ndarray]]:
        """The entropy of every token of every root; each rank measures its share of all ranks' roots."""
        own = [
            RolloutGroup(Problem(request.problem_id, (), "", ""), request.prompt_ids, group, _UNJUDGED * len(group), ())
            for request, group in zip(requests, roots, strict=True)
        ]
        shares = self.policy.all_gather(own)
        groups = [group for share in shares for group in share]
        (update,) = collate(
            groups, torch.zeros((len(groups), self.spec.roots)), updates=1, rank=self.policy.rank,
            ranks=self.policy.world_size, micro_batch_tokens=self.micro_batch_tokens, device=self.device,
        )  # fmt: skip
        measured: dict[int, np.ndarray] = {}
        for batch in update.micro_batches:
            entropy_BT = self.policy.measure(batch).entropy_BT.cpu()
            for place, row in enumerate(batch.row_B.tolist()):
                measured[row] = entropy_BT[place][batch.loss_mask_BT[place].cpu()].numpy()
        everything = {row: values for found in self.policy.all_gather(measured) for row, values in found.items()}
        start = sum(len(share) for share in shares[: self.policy.rank])
        size = self.spec.roots
        return [[everything[(start + index) * size + root] for root in range(size)] for index in range(len(own))]


_UNJUDGED = (Verdict(0.0, None, "not judged yet"),)

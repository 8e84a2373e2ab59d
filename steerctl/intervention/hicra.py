"""HICRA: planning tokens, those inside strategic grams, get more credit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt, PrivateAttr, model_validator

from steerctl.intervention import Intervention, Population, Turn
from steerctl.intervention._grams import Prints, fingerprints, inside, mined, read_grams
from steerctl.intervention._remarks import SET, Handles, OnlyWith, Surroundings
from steerctl.intervention._verdicts import remembered
from steerctl.types import Dials, RolloutGroup, TokenBatch, TokenStats


class Hicra(Intervention):
    """A += α·|A| on tokens inside a strategic gram: (1 + α)·A where A > 0, (1 − α)·A where A < 0. Detached.

    Strategic grams are read from `grams_file`, a JSON list of token id lists or of texts, or else mined once, in the
    first step with right responses: the n-grams of tokens, n from gram_min to gram_max, that at least
    min_documents right responses hold, and of these the top_fraction that most of them hold. They are kept in
    checkpoints. A gram counts where it lies wholly within a response. Factor touched: advantage. Planning tokens tend
    to be uncertain ones, but entropy is not looked at.

    Source: arXiv 2509.03646; TIGER-AI-Lab/Hierarchical-Reasoner (README, no code); notes and the third-party
    teilomillet/textpolicy, whose A is R − mean (advantage `dr_grpo`).

    Departures: (1) the paper's grams are of words and are clustered by sentence embeddings, its top 20 percent being of
    clusters: grams of tokens, each its own cluster, are ours, and favour formulas over phrases: for the paper's method
    cluster beforehand and give the file; (2) it mines a corpus before training, here it is the first step's; (3) the
    least number of documents is ours; (4) a text is matched as tokenised alone, with and without a space ahead.
    """

    kind: Literal["hicra"] = "hicra"
    turns: ClassVar[Handles] = frozenset({"advantages"})
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.2
    """α (paper 0.2)."""
    grams_file: str | None = None
    """Strategic grams; None: mine them."""
    tokenizer_file: Annotated[str | None, OnlyWith(grams_file=SET)] = None
    """The policy's tokenizer.json, if the file holds texts."""
    gram_min: Annotated[PositiveInt, OnlyWith(grams_file=None)] = 3
    """Shortest gram that is mined (paper 3, in words)."""
    gram_max: Annotated[PositiveInt, OnlyWith(grams_file=None)] = 5
    """Longest gram that is mined (paper 5, in words)."""
    top_fraction: Annotated[float, Field(gt=0, le=1), OnlyWith(grams_file=None)] = 0.2
    """Share of grams that is kept (paper 0.2, of clusters)."""
    min_documents: Annotated[PositiveInt, OnlyWith(grams_file=None)] = 2
    """Right responses that must hold a gram (ours)."""
    _lengths: range = PrivateAttr(default=range(0))
    _grams: Prints | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _lengths_are_in_order(self) -> Hicra:
        if self.gram_max < self.gram_min:
            raise ValueError("gram_max must not be below gram_min")
        return self

    def remarks(self, around: Surroundings) -> Iterator[str]:  # noqa: ARG002 (of itself alone)
        """No coefficient."""
        if self.alpha == 0:
            yield "does nothing with alpha 0"

    def reshape(self, groups: Sequence[RolloutGroup]) -> Sequence[RolloutGroup]:
        """The groups as they are; grams are read or mined if there are none yet."""
        if self._grams is None or self._grams.size == 0:
            self._lengths, self._grams = self._read() if self.grams_file else self._mine(groups)
        return groups

    def _read(self) -> tuple[range, Prints]:
        grams = read_grams(str(self.grams_file), self.tokenizer_file)
        lengths = range(min(map(len, grams)), max(map(len, grams)) + 1)
        return lengths, np.unique([fingerprints(np.array([gram]), len(gram))[0, 0] for gram in grams])

    def _mine(self, groups: Sequence[RolloutGroup]) -> tuple[range, Prints]:
        pairs = [pair for group in groups for pair in zip(group.rollouts, group.verdicts, strict=True)]
        right = [rollout.token_ids_T for rollout, verdict in pairs if verdict.value > 0.5]
        lengths = range(self.gram_min, self.gram_max + 1)
        return lengths, mined(right, lengths, self.top_fraction, self.min_documents)

    def prepare(self, population: Population) -> Turn:  # noqa: ARG002 (each token on its own)
        """The turn with the grams found so far."""
        grams, lengths = remembered(self._grams, self.kind), self._lengths

        def turn(dials: Dials, batch: TokenBatch, stats: TokenStats) -> Dials:  # noqa: ARG001 (tokens decide)
            mask_BT = batch.loss_mask_BT.cpu().numpy()
            planning = inside(batch.target_ids_BT.cpu().numpy(), mask_BT, grams, lengths)
            planning_BT = torch.from_numpy(planning).to(dials.advantages_BT.device)
            raised_BT = dials.advantages_BT + self.alpha * dials.advantages_BT.abs()
            return replace(dials, advantages_BT=torch.where(planning_BT, raised_BT, dials.advantages_BT))

        return turn

    def state_dict(self) -> Mapping[str, Any]:
        """The grams' fingerprints and lengths."""
        grams = None if self._grams is None else [int(gram) for gram in self._grams]
        return {"grams": grams, "lengths": [self._lengths.start, self._lengths.stop]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with them."""
        self._grams = None if state["grams"] is None else np.array(state["grams"], dtype=np.uint64)
        self._lengths = range(*state["lengths"])

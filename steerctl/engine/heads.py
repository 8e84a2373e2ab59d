"""The language model as the trainer sees it: trunk, then a head that returns statistics instead of logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from steerctl.entropy.min_p import min_p_logprobs
from steerctl.entropy.stats import stream_stats
from steerctl.errors import ModelError
from steerctl.spec.model_facts import logits_bent_by


class StatsHead(nn.Module):
    """The output projection as a module that owns its weight and computes the token statistics in `forward`.

    Under ZeRO-3 a weight is whole only inside the forward and backward of the module it belongs to; reading
    `lm_head.weight` from outside sees a shard. So the statistics are made in here, and plain tensors are returned,
    on which DeepSpeed hangs the hook that gathers the weight again for the backward pass.
    """

    def __init__(self, linear: nn.Linear, temperature: float) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        self.temperature = temperature

    def forward(
        self,
        hidden_ND: Tensor,
        targets_N: Tensor,
        entropy_grad: bool,  # noqa: FBT001 (DeepSpeed's hooks pass positional arguments only)
        min_p: float,
    ) -> tuple[Tensor, ...]:
        """Log-probability, entropy, S̄ and Σπ² of N states, each [N], float32, at the sampling temperature.

        With min_p above 0 instead: the log-probability under the min-p proxy, alone, without a graph.
        """
        if min_p > 0:
            proxy_N = min_p_logprobs(
                hidden_ND, self.weight, targets_N, min_p=min_p, bias_V=self.bias, temperature=self.temperature
            )
            return (proxy_N,)
        stats = stream_stats(
            hidden_ND,
            self.weight,
            targets_N,
            bias_V=self.bias,
            temperature=self.temperature,
            entropy_grad=entropy_grad,
        )
        return stats.logprobs_N, stats.entropy_N, stats.mean_score_N, stats.collision_N


class StatsModel(nn.Module):
    """A causal language model whose forward returns the statistics of the selected target positions.

    Right padding and causal attention: no attention mask is needed, a trained row never sees a pad.
    Parameters keep their Hugging Face names below `model.` (`parameter_names`).
    """

    def __init__(self, model: Any, temperature: float) -> None:  # noqa: ANN401 (a transformers model)
        super().__init__()
        head = linear_head(model)
        model.set_output_embeddings(StatsHead(head, temperature))
        self.model = model
        # Held in a tuple: registered once, under `model`, so that names and hooks are those of the whole model.
        self._parts = (model.base_model, model.get_output_embeddings())

    def forward(
        self,
        input_ids_BT: Tensor,
        mask_BT: Tensor,
        targets_BT: Tensor,
        entropy_grad: bool,  # noqa: FBT001 (DeepSpeed's hooks pass positional arguments only)
        min_p: float = 0.0,
    ) -> tuple[Tensor, ...]:
        """Statistics of the positions in `mask_BT`, row-major, each [N]; N may be 0."""
        trunk, head = self._parts
        hidden_BTD = trunk(input_ids=input_ids_BT, use_cache=False).last_hidden_state
        results: tuple[Tensor, ...] = head(hidden_BTD[mask_BT], targets_BT[mask_BT], entropy_grad, min_p)
        return results

    def parameter_names(self) -> dict[str, nn.Parameter]:
        """Every parameter once, by its Hugging Face name (a tied head is listed under the embedding)."""
        return dict(self.model.named_parameters())

    def tied_name(self) -> str | None:
        """The head's own name if its weight is the embedding's, e.g. "lm_head.weight"; None if it is separate."""
        head = self._parts[1]
        if not any(parameter is head.weight for parameter in self.model.get_input_embeddings().parameters()):
            return None
        prefix = next(name for name, module in self.model.named_modules() if module is head)
        return f"{prefix}.weight"


def linear_head(model: Any) -> nn.Linear:  # noqa: ANN401 (a transformers model)
    """The output projection of `model`.

    Raises:
        ModelError: the model turns hidden states into logits by more than one linear map.
    """
    head = model.get_output_embeddings()
    name = type(model).__name__
    if type(head) is not nn.Linear:
        kind = type(head).__name__
        raise ModelError(f"{name}: the output head is a {kind}, not a linear layer; this model cannot be trained")
    bent = logits_bent_by(model.config.get_text_config().to_dict())
    if bent:
        raise ModelError(f"{name}: {', '.join(bent)} changes logits after the output head; this model is not supported")
    return head


@torch.no_grad()
def check_head_agrees(model: Any) -> None:  # noqa: ANN401 (a transformers model)
    """Compare the model's own logits with trunk + linear head on a few tokens; needs whole weights.

    Raises:
        ModelError: they differ: the architecture does something to logits that this package does not know.
    """
    head = linear_head(model)
    vocabulary = head.weight.shape[0]
    tokens_BT = torch.arange(4, device=head.weight.device).remainder(vocabulary)[None]
    own_BTV = model(input_ids=tokens_BT, use_cache=False).logits.float()
    hidden_BTD = model.base_model(input_ids=tokens_BT, use_cache=False).last_hidden_state
    linear_BTV = head(hidden_BTD).float()
    scale = float(linear_BTV.abs().max().clamp(min=1e-6))
    if own_BTV.shape != linear_BTV.shape or float((own_BTV - linear_BTV).abs().max()) > 1e-2 * scale:
        raise ModelError(f"{type(model).__name__}: logits are not a linear map of the last hidden state; not supported")


def freeze_randomness(model: nn.Module, *, gradient_checkpointing: bool) -> None:
    """Evaluation mode (no dropout, no router noise); checkpointed layers alone count as training.

    transformers recomputes a layer only if that layer's own `training` is set; its children stay in evaluation mode,
    so that a training forward gives bit-for-bit the numbers of a measuring one.
    """
    model.eval()
    if not gradient_checkpointing:
        return
    for module in model.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True

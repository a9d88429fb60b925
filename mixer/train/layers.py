"""Three layers by which a Llama runs anywhere: attention through PyTorch, rotary positions, RMSNorm.

Where Transformer Engine is installed its layers are taken instead (``model.py``), except for the positions, whose
frequencies are worked out here for every kind of Llama.
"""

import math
from typing import Any

import torch
from megatron.core.models.common.embeddings.rotary_pos_embedding import RotaryEmbedding
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.transformer_config import TransformerConfig
from torch.nn import functional

from mixer.train.presets import ModelShape


class Attention(MegatronModule):
    """Causal attention by ``scaled_dot_product_attention``, which picks a fused kernel where there is one.

    Examples that share a row are attended to one by one, so that none sees another.
    """

    def __init__(self, config: TransformerConfig, layer_number: int, attn_mask_type: AttnMaskType, **_: Any) -> None:
        super().__init__(config=config)

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **options: Any
    ) -> torch.Tensor:
        """Attend: query [s, b, heads, d], key and value [s, b, groups, d]; returns [s, b, heads * d].

        With ``packed_seq_params`` all three come without b, and the result is [s, heads * d].
        """
        packed: PackedSeqParams | None = options.get("packed_seq_params")
        if packed is None:
            return _attend(query, key, value)
        lengths = packed.cu_seqlens_q.diff().tolist()
        parts = (torch.split(tensor.unsqueeze(1), lengths) for tensor in (query, key, value))
        return torch.cat([_attend(*part) for part in zip(*parts, strict=True)]).squeeze(1)


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    length, batch = query.shape[:2]
    attended = functional.scaled_dot_product_attention(
        query.permute(1, 2, 0, 3),
        key.permute(1, 2, 0, 3),
        value.permute(1, 2, 0, 3),
        is_causal=True,
        enable_gqa=query.shape[2] != key.shape[2],
    )
    return attended.permute(2, 0, 1, 3).reshape(length, batch, -1)


class RMSNorm(torch.nn.RMSNorm):
    """PyTorch's RMSNorm with the mark by which Megatron sums its gradient over a sequence parallel group."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any) -> None:
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype)
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]


class Rotary(RotaryEmbedding):
    """Rotary positions on whatever device, with the frequencies of Llama 3 or, stretched, of Llama 3.1."""

    def __init__(self, shape: ModelShape, device: torch.device) -> None:
        super().__init__(shape.head_dim, 1.0, rotary_base=int(shape.rotary_base), use_cpu_initialization=True)
        self.inv_freq = frequencies(shape).to(device)

    def get_emb(self, max_seq_len: int, offset: int = 0) -> torch.Tensor:
        """Return the angles of positions: float32[max_seq_len, 1, 1, head_dim]."""
        angles = self.get_freqs_non_repeated(max_seq_len, offset)
        return torch.cat((angles, angles), dim=-1)[:, None, None, :]


def frequencies(shape: ModelShape) -> torch.Tensor:
    """Return the rotary frequencies: float32[head_dim / 2].

    base^(-2i/d) for pair i (Su et al. 2021, arXiv:2104.09864). Llama 3.1 divides those with a wavelength above
    ``original_context / low_freq_factor`` by ``factor``, keeps those below ``original_context / high_freq_factor``, and
    goes from one to the other linearly in context / wavelength (Llama Team 2024, arXiv:2407.21783, and its reference
    code).
    """
    exponents = torch.arange(0, shape.head_dim, 2, dtype=torch.int64).float() / shape.head_dim
    plain = 1.0 / (shape.rotary_base**exponents)
    scaling = shape.rotary_scaling
    if scaling is None:
        return plain
    turns = scaling.original_context / (2 * math.pi / plain)
    kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    kept = kept.clamp(0.0, 1.0)
    return (1 - kept) * plain / scaling.factor + kept * plain

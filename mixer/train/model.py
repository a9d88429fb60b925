"""A Llama as megatron-core's ``GPTModel``, wrapped for data parallel training."""

import importlib.util
from typing import Final

import torch
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.transformer.module import Float16Module
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules
from megatron.core.transformer.transformer_config import TransformerConfig
from torch.nn import functional

from mixer.train.layers import Attention, RMSNorm, Rotary
from mixer.train.presets import ModelShape

VOCAB_MULTIPLE: Final = 128
"""The embedding is filled up to a multiple of this, whatever the tensor parallel size: checkpoints fit any of them."""


def transformer_config(
    shape: ModelShape, tp: int, pp: int, dtype: torch.dtype, device: torch.device
) -> TransformerConfig:
    """Return megatron-core's settings for a Llama of this shape.

    Parameters
    ----------
    shape, tp, pp, dtype, device
        The model, how it is spread out, the type of its weights, and where they lie.
    """
    return TransformerConfig(
        num_layers=shape.layers,
        hidden_size=shape.hidden,
        ffn_hidden_size=shape.ffn,
        num_attention_heads=shape.heads,
        num_query_groups=shape.groups,
        kv_channels=shape.head_dim,
        normalization="RMSNorm",
        layernorm_epsilon=shape.norm_epsilon,
        gated_linear_unit=True,
        activation_func=functional.silu,
        add_bias_linear=False,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        tensor_model_parallel_size=tp,
        pipeline_model_parallel_size=pp,
        sequence_parallel=tp > 1,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        bf16=dtype == torch.bfloat16,
        calculate_per_token_loss=True,
        # Also where weights are loaded: only drawing them marks what is split over the tensor parallel group, and
        # without the mark the gradient's length, and so clipping, comes out wrong.
        perform_initialization=True,
        use_cpu_initialization=device.type != "cuda",
        # Fused kernels need Apex or a compiler on the spot; attention and the optimizer are fused without these.
        gradient_accumulation_fusion=False,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        masked_softmax_fusion=False,
        apply_rope_fusion=False,
        persist_layer_norm=False,
    )


def build_model(shape: ModelShape, config: TransformerConfig, device: torch.device) -> GPTModel:
    """Build this process's part of the model on its device."""
    if shape.vocab_size is None:
        raise ValueError("the shape misses its vocabulary")
    model = GPTModel(
        config=config,
        transformer_layer_spec=_layer_spec(config),
        vocab_size=-(-shape.vocab_size // VOCAB_MULTIPLE) * VOCAB_MULTIPLE,
        max_sequence_length=shape.context,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
        share_embeddings_and_output_weights=False,
        position_embedding_type="rope",
        rotary_base=int(shape.rotary_base),
    )
    model.rotary_pos_emb = Rotary(shape, device)
    return model.to(device)


def wrap(model: GPTModel, config: TransformerConfig, *, distributed_optimizer: bool) -> DistributedDataParallel:
    """Wrap a model so that gradients are summed in float32 over the data parallel group."""
    inner = Float16Module(config, model) if config.bf16 else model
    wrapped = DistributedDataParallel(
        config=config,
        ddp_config=DistributedDataParallelConfig(
            grad_reduce_in_fp32=True,
            use_distributed_optimizer=distributed_optimizer,
            check_for_nan_in_grad=True,
        ),
        module=inner,
    )
    wrapped.broadcast_params()
    config.finalize_model_grads_func = finalize_model_grads
    return wrapped


def _layer_spec(config: TransformerConfig) -> ModuleSpec | TransformerBlockSubmodules:
    if not config.use_cpu_initialization and importlib.util.find_spec("transformer_engine"):
        return get_gpt_layer_with_transformer_engine_spec()
    spec = get_gpt_layer_local_spec(normalization="RMSNorm")
    spec.submodules.input_layernorm = RMSNorm
    spec.submodules.pre_mlp_layernorm = RMSNorm
    spec.submodules.self_attention.submodules.core_attention = Attention
    layers = config.num_layers // config.pipeline_model_parallel_size
    return TransformerBlockSubmodules(layer_specs=[spec] * layers, layer_norm=RMSNorm)

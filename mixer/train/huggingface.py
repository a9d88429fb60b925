"""Llama weights as Hugging Face stores them, read into a model of any layout and written back bit for bit.

A folder there holds ``config.json`` and ``*.safetensors``. For H heads, G groups of D: Megatron keeps the projections
of queries, keys and values in one matrix, group by group ([H/G queries | key | value] of D rows each), and gate and up
of the MLP in one, gate first. Tensors are converted one by one; the whole model is in memory once.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from safetensors import safe_open
from safetensors.torch import save_file

from mixer.errors import InputError, UsageError
from mixer.train.presets import ModelShape, RotaryScaling

CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"
SHARD_BYTES: Final = 5 * 10**9
"""Size up to which tensors go to one file, as Hugging Face's own tools do."""
Read = Callable[[str], torch.Tensor]


@dataclass(frozen=True)
class Place:
    """Where a parameter of Megatron's comes from: its tensors there, and how it is split over a tensor parallel group.

    ``kind`` is ``qkv``, ``gate_up``, ``rows``, ``columns`` or ``whole``.
    """

    sources: tuple[str, ...]
    kind: str


_LAYER: Final = {
    "self_attention.linear_qkv.weight": Place(
        ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"), "qkv"
    ),
    "self_attention.linear_proj.weight": Place(("self_attn.o_proj.weight",), "columns"),
    "mlp.linear_fc1.weight": Place(("mlp.gate_proj.weight", "mlp.up_proj.weight"), "gate_up"),
    "mlp.linear_fc2.weight": Place(("mlp.down_proj.weight",), "columns"),
    "input_layernorm.weight": Place(("input_layernorm.weight",), "whole"),
    "self_attention.linear_qkv.layer_norm_weight": Place(("input_layernorm.weight",), "whole"),  # Transformer Engine's
    "pre_mlp_layernorm.weight": Place(("post_attention_layernorm.weight",), "whole"),
    "mlp.linear_fc1.layer_norm_weight": Place(("post_attention_layernorm.weight",), "whole"),
}
_ENDS: Final = {
    "embedding.word_embeddings.weight": Place(("model.embed_tokens.weight",), "rows"),
    "decoder.final_layernorm.weight": Place(("model.norm.weight",), "whole"),
    "output_layer.weight": Place(("lm_head.weight",), "rows"),
}


def is_folder(path: Path) -> bool:
    """Whether a folder looks like one of Hugging Face's."""
    return (path / CONFIG).is_file()


def read_shape(folder: Path) -> tuple[ModelShape, torch.dtype]:
    """Return the shape of the Llama in a folder, and the type of its weights.

    Raises
    ------
    UsageError
        There is no model, or one that is no plain Llama.
    """
    path = folder / CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", "name a folder with config.json and *.safetensors"
        ) from error
    rotary = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rotary.get("rope_type", rotary.get("type", "default"))
    for what, found, supported in (
        ("model_type", config.get("model_type"), ("llama",)),
        ("rope type", kind, ("default", "llama3")),
        ("tie_word_embeddings", bool(config.get("tie_word_embeddings")), (False,)),
        ("attention_bias", bool(config.get("attention_bias")), (False,)),
        ("mlp_bias", bool(config.get("mlp_bias")), (False,)),
        ("hidden_act", config.get("hidden_act", "silu"), ("silu",)),
    ):
        if found not in supported:
            raise UsageError(f"{path} has {what} {found!r}, which is not supported", "convert a plain Llama 3 or 3.1")
    heads, eod = config["num_attention_heads"], config.get("eos_token_id")
    shape = ModelShape(
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        ffn=config["intermediate_size"],
        heads=heads,
        groups=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        vocab_size=config["vocab_size"],
        eod=eod if isinstance(eod, int) else None,
        context=config["max_position_embeddings"],
        rotary_base=rotary.get("rope_theta") or config.get("rope_theta", 10_000.0),
        rotary_scaling=RotaryScaling(
            factor=rotary["factor"],
            low_freq_factor=rotary["low_freq_factor"],
            high_freq_factor=rotary["high_freq_factor"],
            original_context=rotary["original_max_position_embeddings"],
        )
        if kind == "llama3"
        else None,
        norm_epsilon=config["rms_norm_eps"],
    )
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    return shape, getattr(torch, dtype)


def load(folder: Path, model: GPTModel, shape: ModelShape) -> None:
    """Read the weights of a folder into this process's part of a model.

    Raises
    ------
    InputError
        A tensor is missing or of another shape.
    """
    tensors = _Tensors(folder)
    ranks = parallel_state.get_tensor_model_parallel_world_size()
    rank = parallel_state.get_tensor_model_parallel_rank()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            place = _place(model, name)
            parts = [_filled(tensors[source], place, model.vocab_size) for source in place.sources]
            made = _split(_joined(parts, place.kind, shape), place.kind, ranks, rank)
            if made.shape != parameter.shape:
                raise InputError(
                    f"{', '.join(place.sources)} in {folder} make {tuple(made.shape)}, the model has "
                    f"{tuple(parameter.shape)}",
                    "config.json does not describe these weights: fetch the folder anew",
                )
            parameter.copy_(made)


def save(folder: Path, model: GPTModel, shape: ModelShape) -> None:
    """Write a whole model (tensor and pipeline parallel size 1) as ``config.json`` and ``*.safetensors``."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, tensor in _exported(model, shape):
        bytes_of = tensor.numel() * tensor.itemsize
        if size and size + bytes_of > SHARD_BYTES:
            files.append({})
            size = 0
        files[-1][name] = tensor
        size += bytes_of
    weight_map = {}
    for number, tensors in enumerate(files, start=1):
        one = "model.safetensors" if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
        save_file(tensors, folder / one, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(tensors, one))
    total = sum(t.numel() * t.itemsize for tensors in files for t in tensors.values())
    if len(files) > 1:
        _write(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})
    _write(folder / CONFIG, _config(shape, next(model.parameters()).dtype))


def _exported(model: GPTModel, shape: ModelShape) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in model.named_parameters():
        place = _place(model, name)
        for source, part in zip(place.sources, _taken_apart(parameter.detach(), place.kind, shape), strict=True):
            yield source, (part[: shape.vocab_size] if place.kind == "rows" else part).contiguous()


def _place(model: GPTModel, name: str) -> Place:
    """Return where a parameter comes from; a layer is known by its number in the whole model, not in this process."""
    if name in _ENDS:
        return _ENDS[name]
    _, _, local, rest = name.split(".", 3)  # decoder.layers.<n>.<rest>
    number = model.decoder.layers[int(local)].layer_number - 1
    place = _LAYER[rest]
    return Place(tuple(f"model.layers.{number}.{source}" for source in place.sources), place.kind)


def _filled(tensor: torch.Tensor, place: Place, vocab_size: int) -> torch.Tensor:
    """Fill the rows of the vocabulary up with zeros to those that the model has."""
    missing = vocab_size - tensor.shape[0] if place.kind == "rows" else 0
    return torch.nn.functional.pad(tensor, (0, 0, 0, missing)) if missing > 0 else tensor


def _joined(parts: list[torch.Tensor], kind: str, shape: ModelShape) -> torch.Tensor:
    if kind == "qkv":
        blocks = [part.view(shape.groups, -1, shape.hidden) for part in parts]
        return torch.cat(blocks, dim=1).view(-1, shape.hidden)
    return torch.stack(parts) if kind == "gate_up" else parts[0]


def _split(whole: torch.Tensor, kind: str, ranks: int, rank: int) -> torch.Tensor:
    """Return the part of one process of a tensor parallel group; gate and up are split one by one."""
    if kind == "whole":
        return whole
    if kind == "gate_up":
        part = whole.chunk(ranks, dim=1)[rank]
        return part.reshape(-1, part.shape[-1])
    return whole.chunk(ranks, dim=1 if kind == "columns" else 0)[rank]


def _taken_apart(whole: torch.Tensor, kind: str, shape: ModelShape) -> tuple[torch.Tensor, ...]:
    if kind == "qkv":
        rows = [shape.heads // shape.groups * shape.head_dim, shape.head_dim, shape.head_dim]
        parts = torch.split(whole.view(shape.groups, -1, shape.hidden), rows, dim=1)
        return tuple(part.reshape(-1, shape.hidden) for part in parts)
    return whole.chunk(2) if kind == "gate_up" else (whole,)


class _Tensors:
    """The tensors of a folder, mapped into memory and read one by one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            opened: Any = safe_open(path, framework="pt")
            self._files |= dict.fromkeys(opened.keys(), opened)

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._files:
            raise InputError(f"{self._folder} holds no tensor {name}", "fetch all *.safetensors files of the model")
        tensor: torch.Tensor = self._files[name].get_tensor(name)
        return tensor


def _config(shape: ModelShape, dtype: torch.dtype) -> dict[str, Any]:
    scaling = shape.rotary_scaling
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.groups,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab_size,
        "eos_token_id": shape.eod,
        "bos_token_id": None,
        "max_position_embeddings": shape.context,
        "rope_theta": shape.rotary_base,
        "rope_scaling": scaling
        and {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_context,
        },
        "rms_norm_eps": shape.norm_epsilon,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")

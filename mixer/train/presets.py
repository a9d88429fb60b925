"""The models that a run can name, and the hyper-parameters of Xi et al. 2024 (arXiv:2409.06624) for them. No torch."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from mixer.errors import UsageError, did_you_mean

Schedule = Literal["linear", "cosine", "constant"]
LLAMA3_VOCAB: Final = 128_256
LLAMA3_EOD: Final = 128_001


class RotaryScaling(BaseModel):
    """How Llama 3.1 stretches the rotary frequencies of Llama 3 to longer contexts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    factor: float = Field(8.0, gt=0, description="How much longer the slow frequencies become.")
    low_freq_factor: float = Field(1.0, gt=0, description="Wavelengths above context / this are stretched in full.")
    high_freq_factor: float = Field(4.0, gt=0, description="Wavelengths below context / this stay as they are.")
    original_context: int = Field(8192, gt=0, description="Context that the model was first trained with.")


class ModelShape(BaseModel):
    """The numbers that make a Llama: decoder blocks of grouped-query attention and a gated MLP, RMSNorm, rotary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int = Field(gt=0, description="Decoder blocks.")
    hidden: int = Field(gt=0, description="Width of the residual stream.")
    ffn: int = Field(gt=0, description="Width inside the MLP.")
    heads: int = Field(gt=0, description="Attention heads.")
    groups: int = Field(gt=0, description="Heads of keys and values.")
    head_dim: int = Field(gt=0, description="Width of a head.")
    vocab_size: int | None = Field(None, description="Ids of the vocabulary; null: those of the build.")
    eod: int | None = Field(None, description="Id that ends a document; null: that of the build.")
    context: int = Field(8192, gt=0, description="Longest sequence.")
    rotary_base: float = Field(500_000.0, gt=0, description="Base of the rotary frequencies.")
    rotary_scaling: RotaryScaling | None = Field(None, description="Of Llama 3.1 and later.")
    norm_epsilon: float = Field(1e-5, gt=0, description="Of RMSNorm.")


class Recipe(BaseModel):
    """Hyper-parameters of a stage for a model: Table 2 and section 3.2 of the paper."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    micro_batch: int = Field(gt=0, description="Samples a GPU takes at once.")
    global_batch: int = Field(gt=0, description="Samples of a step.")
    schedule: Schedule = Field(description="How the learning rate falls.")
    weight_decay: float = Field(ge=0, description="Of AdamW.")
    tp: int = Field(1, gt=0, description="Tensor parallel size.")
    pp: int = Field(1, gt=0, description="Pipeline parallel size.")


_8B: Final = ModelShape(
    layers=32,
    hidden=4096,
    ffn=14_336,
    heads=32,
    groups=8,
    head_dim=128,
    vocab_size=LLAMA3_VOCAB,
    eod=LLAMA3_EOD,
)
_70B: Final = _8B.model_copy(update={"layers": 80, "hidden": 8192, "ffn": 28_672, "heads": 64})
_OF_3_1: Final = {"context": 131_072, "rotary_scaling": RotaryScaling()}

MODELS: Final[dict[str, ModelShape]] = {
    "llama3-8b": _8B,
    "llama3-70b": _70B,
    "llama3.1-8b": _8B.model_copy(update=_OF_3_1),
    "llama3.1-70b": _70B.model_copy(update=_OF_3_1),
    "tiny": ModelShape(layers=2, hidden=64, ffn=176, heads=4, groups=2, head_dim=16),
}
"""Shapes as Meta published them (``config.json`` of Meta-Llama-3-8B and -70B, Llama-3.1-8B and -70B); ``tiny`` runs
anywhere, over the vocabulary of any build."""

_CPT_8B: Final = Recipe(micro_batch=4, global_batch=256, schedule="linear", weight_decay=0.01, tp=2, pp=1)
_CPT_70B: Final = _CPT_8B.model_copy(update={"tp": 8, "pp": 2})

CPT: Final[dict[str, Recipe]] = {
    "llama3-8b": _CPT_8B,
    "llama3-70b": _CPT_70B,
    "llama3.1-8b": _CPT_8B,
    "llama3.1-70b": _CPT_70B,
    "tiny": Recipe(micro_batch=1, global_batch=4, schedule="linear", weight_decay=0.01),
}
"""Continual pre-training. ``tiny`` takes small batches, so that a step is seconds on a laptop."""

_SFT_8B: Final = Recipe(micro_batch=8, global_batch=1024, schedule="cosine", weight_decay=0.01, tp=2, pp=1)
_SFT_70B: Final = _SFT_8B.model_copy(update={"micro_batch": 2, "tp": 8, "pp": 2})

SFT: Final[dict[str, Recipe]] = {
    "llama3-8b": _SFT_8B,
    "llama3-70b": _SFT_70B,
    "llama3.1-8b": _SFT_8B,
    "llama3.1-70b": _SFT_70B,
    "tiny": Recipe(micro_batch=1, global_batch=8, schedule="cosine", weight_decay=0.01),
}
"""Supervised fine-tuning. A sample of the global batch is an example, one of the micro batch a row of them."""

_DPO_8B: Final = Recipe(micro_batch=2, global_batch=128, schedule="cosine", weight_decay=0.0, tp=2, pp=1)
_DPO_70B: Final = _DPO_8B.model_copy(update={"micro_batch": 1, "global_batch": 256, "tp": 8, "pp": 2})

DPO: Final[dict[str, Recipe]] = {
    "llama3-8b": _DPO_8B,
    "llama3-70b": _DPO_70B,
    "llama3.1-8b": _DPO_8B,
    "llama3.1-70b": _DPO_70B,
    "tiny": Recipe(micro_batch=1, global_batch=8, schedule="cosine", weight_decay=0.0),
}
"""Direct preference optimisation; a sample is a pair, or a row of them. The paper names no layout for either kind of
fine-tuning: that of pre-training is taken."""


def shape_of(name: str) -> ModelShape:
    """Return the shape of a model by its name.

    Raises
    ------
    UsageError
        There is no such model.
    """
    try:
        return MODELS[name]
    except KeyError as error:
        raise UsageError(
            f"there is no model {name!r}{did_you_mean(name, MODELS)}", f"known models: {', '.join(MODELS)}"
        ) from error

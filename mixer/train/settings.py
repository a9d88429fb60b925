"""What a run is made with: its settings, and which of them may differ on resuming."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mixer.errors import UsageError
from mixer.train.presets import ModelShape, Schedule

LAYOUT: Final = ("micro_batch", "tp", "pp", "distributed_optimizer", "save_every", "valid_every")
"""Settings that may change when a run is resumed: how the same work is spread out, and how often it is looked at."""


class Settings(BaseModel):
    """A run of any kind, apart from where it reads and writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]
    layout: ClassVar[tuple[str, ...]] = LAYOUT

    model: str = Field(description="Name of the model.")
    shape: ModelShape = Field(description="Its numbers, the vocabulary filled in.")
    lr: float = Field(gt=0, description="Highest learning rate.")
    min_lr: float = Field(0.0, ge=0, description="Learning rate at the end.")
    schedule: Schedule = Field(description="How it falls in between.")
    warmup: int = Field(0, ge=0, description="Steps over which it rises first.")
    weight_decay: float = Field(ge=0, description="Of AdamW.")
    betas: tuple[float, float] = Field((0.9, 0.95), description="Of AdamW; Touvron et al. 2023, arXiv:2302.13971.")
    epsilon: float = Field(1e-8, gt=0, description="Of AdamW.")
    clip: float = Field(1.0, ge=0, description="Longest gradient; 0: any.")
    dtype: Literal["float32", "bfloat16"] = Field(description="Of the weights; the optimizer keeps float32.")
    seed: int = Field(1234, ge=0, description="Of the order of the data, and of random weights.")
    steps: int = Field(gt=0, description="Length of the run, and of the schedule.")
    global_batch: int = Field(gt=0, description="Samples of a step.")
    micro_batch: int = Field(gt=0, description="Samples a process takes at once.")
    tp: int = Field(gt=0, description="Tensor parallel size.")
    pp: int = Field(gt=0, description="Pipeline parallel size.")
    distributed_optimizer: bool = Field(
        default=True, description="Share the optimizer's state out over the data parallel group."
    )
    save_every: int = Field(1000, gt=0, description="Steps between checkpoints.")
    valid_every: int = Field(100, gt=0, description="Steps between validations.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min_lr > self.lr:
            raise ValueError(f"--min-lr {self.min_lr} is above --lr {self.lr}")
        if self.warmup >= self.steps:
            raise ValueError(f"--warmup {self.warmup} does not end before the run, at step {self.steps}")
        return self

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings with these values.

        Raises
        ------
        UsageError
            They cannot be.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            found = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
            raise UsageError(
                f"these settings cannot be: {found}", f"`mixer train {cls.kind} --help` explains each"
            ) from error

    @property
    def samples(self) -> int:
        """Samples that the whole run reads."""
        return self.steps * self.global_batch

    def is_valid_step(self, step: int) -> bool:
        """Whether the model is validated after a step."""
        return step % self.valid_every == 0 or step == self.steps

    @property
    def promised(self) -> dict[str, Any]:
        """What must not change when the run is resumed."""
        return self.model_dump(mode="json", exclude=set(self.layout))

    def data_parallel(self, processes: int) -> int:
        """Return the data parallel size that so many processes give.

        Raises
        ------
        UsageError
            The processes or the model cannot be shared out evenly.
        """
        if processes % (self.tp * self.pp):
            needed = self.tp * self.pp
            raise UsageError(
                f"--tp {self.tp} --pp {self.pp} needs a multiple of {needed} processes, but there are {processes}",
                f"start it as `torchrun --nproc-per-node {needed} -m mixer.train.{self.kind} ...`, or choose --tp and "
                "--pp",
            )
        if self.shape.groups % self.tp or self.shape.layers % self.pp:
            raise UsageError(
                f"{self.model} has {self.shape.groups} heads of keys and {self.shape.layers} layers, which --tp "
                f"{self.tp} and --pp {self.pp} do not share out evenly",
                "choose divisors of these",
            )
        return processes // (self.tp * self.pp)


class CptSettings(Settings):
    """A run of continual pre-training."""

    kind = "cpt"
    layout = (*LAYOUT, "valid_samples")

    valid_samples: int = Field(ge=0, description="Samples of each validation set; 0: no validation.")

    def data_parallel(self, processes: int) -> int:
        """Return the data parallel size; the batch, which is made of whole micro-batches, must fit it, too."""
        data = super().data_parallel(processes)
        if self.global_batch % (self.micro_batch * data):
            raise UsageError(
                f"a global batch of {self.global_batch} is no multiple of the micro batch {self.micro_batch} times "
                f"{data} data parallel processes",
                "choose --micro-batch and --global-batch so that it is",
            )
        return data


class SftSettings(Settings):
    """A run of supervised fine-tuning; a sample is an example."""

    kind = "sft"
    layout = (*LAYOUT, "packing")

    sequence_length: int = Field(2048, gt=0, description="Window: most tokens of an example, and of a row.")
    packing: bool = Field(default=True, description="Whether several examples share a row.")

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        if self.sequence_length > self.shape.context:
            raise ValueError(
                f"--sequence-length {self.sequence_length} is more than the model reads, {self.shape.context}"
            )
        if self.sequence_length % self.tp:
            raise ValueError(f"--sequence-length {self.sequence_length} is no multiple of --tp {self.tp}")
        return self


class DpoSettings(SftSettings):
    """A run of direct preference optimisation; a sample is a pair."""

    kind = "dpo"

    beta: float = Field(0.1, gt=0, description="How strongly the policy is held to its reference (Equation 3).")

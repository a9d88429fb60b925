"""Hands prepared data and the hyper-parameters of a run over to LLaMA-Factory, in which the paper fine-tuned.

``train.jsonl`` holds the examples in the very order in which mixer would draw them, over and over where a source is
read more than once, and ``disable_shuffling`` keeps that order: so the ratio of the sources holds at every step there,
too. ``dataset_info.json`` describes it in the format ShareGPT, ``llamafactory.yaml`` names everything. Names of files,
keys and arguments were read in LLaMA-Factory: data/README.md, src/llamafactory/data/{parser,converter}.py and
src/llamafactory/hparams; those of the Trainer in transformers' ``TrainingArguments``.

Its format wants prompt and answer by turns, and its loss counts every answer. What cannot be said so is left out and
counted (``LEFT_OUT``). Two things differ: it cuts long examples in its own way, and takes special tokens that a text
spells for real ones.
"""

import json
import mmap
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from mixer.dialogues.draw import draw
from mixer.dialogues.examples import Pairs
from mixer.dialogues.prepare import Prepared
from mixer.dialogues.records import Tally, find_format, items
from mixer.dialogues.settings import LoadedTuning
from mixer.dialogues.turns import ANSWERING, Item, Preference, Role, Turn
from mixer.errors import UsageError
from mixer.storage import complete

Rows = NDArray[np.int64]

LEFT_OUT: Final = {
    "openings": "answers before the first prompt; the rest of the dialogue is handed over",
    "not_by_turns": "prompt and answer do not take turns",
    "answer_not_learned": "an answer is context only, which its format cannot say",
}
"""What cannot be handed over, counted in examples."""

_TAGS: Final[dict[Role, str]] = {
    "system": "system",
    "user": "human",
    "assistant": "gpt",
    "call": "function_call",
    "tool": "observation",
}
_TEMPLATES: Final = {"llama3": "llama3", "chatml": "chatml"}
_TRAIN, _VALID = "mixer_train", "mixer_valid"


@dataclass(frozen=True)
class HyperParameters:
    """What a run is made with; the paper's values are in its Table 2.

    Attributes
    ----------
    stage
        ``sft`` or ``dpo``.
    model
        Folder or name of the model to begin from, in Hugging Face's format.
    output
        Folder that it shall write to.
    devices
        Processes that share a batch out: LLaMA-Factory has no tensor parallelism, so all GPUs.
    steps, global_batch, micro_batch
        Optimizer steps, examples of a step, examples that a process takes at once.
    lr, min_lr, schedule, warmup
        The learning rate: its highest and last value, how it falls, and steps over which it rises first.
    weight_decay, betas, epsilon, clip
        Of AdamW, and the longest gradient; 0: any.
    beta
        Of the preference loss; only for ``dpo``.
    bf16
        Whether to train in bfloat16.
    save_every, valid_every
        Steps between checkpoints and between validations.
    """

    stage: Literal["sft", "dpo"]
    model: str
    output: Path
    devices: int
    steps: int
    global_batch: int
    micro_batch: int
    lr: float
    min_lr: float
    schedule: Literal["linear", "cosine", "constant"]
    warmup: int
    weight_decay: float
    betas: tuple[float, float]
    epsilon: float
    clip: float
    beta: float | None
    bf16: bool
    save_every: int
    valid_every: int


@dataclass(frozen=True)
class HandedOver:
    """The file to give to ``llamafactory-cli train``, and what was left out, in examples by reason."""

    arguments: Path
    left_out: Counter[str]


def hand_over(loaded: LoadedTuning, prepared: Prepared, parameters: HyperParameters, folder: Path) -> HandedOver:
    """Write what LLaMA-Factory reads.

    Parameters
    ----------
    loaded, prepared
        DATA.yaml, and what was prepared of it: the files are read once more.
    parameters
        Of the run.
    folder
        Where to.

    Raises
    ------
    UsageError
        The batch cannot be shared out, LLaMA-Factory has no such template, or nothing can be handed over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arguments = _arguments(prepared, parameters, folder)
    left_out: Counter[str] = Counter()
    with tempfile.TemporaryFile(dir=folder) as lines:  # every example once, from where it is copied in order
        starts, ends = _write_all(loaded, prepared, left_out, lines)
        usable = ends > starts
        _write(lines, starts, ends, _drawn(prepared, usable, parameters), folder / "train.jsonl")
        names = {_TRAIN: "train.jsonl"}
        valid = prepared.valid_rows[usable[prepared.valid_rows]]
        if len(valid):
            _write(lines, starts, ends, valid, folder / "valid.jsonl")
            names[_VALID] = "valid.jsonl"
            arguments |= {
                "eval_dataset": _VALID,
                "eval_strategy": "steps",
                "eval_steps": parameters.valid_every,
                "per_device_eval_batch_size": parameters.micro_batch,
            }
    _write_text(folder / "dataset_info.json", json.dumps(_described(prepared, names), indent=2) + "\n")
    _write_text(folder / "llamafactory.yaml", str(yaml.safe_dump(arguments, sort_keys=False, width=10_000)))
    return HandedOver(folder / "llamafactory.yaml", left_out)


def _arguments(prepared: Prepared, parameters: HyperParameters, folder: Path) -> dict[str, Any]:
    """Return the arguments of the training: a key each of LLaMA-Factory's or the Trainer's."""
    if prepared.template not in _TEMPLATES:
        raise UsageError(
            f"LLaMA-Factory has no template like {prepared.template!r}",
            "use a tokenizer with the special tokens of llama3 or chatml",
        )
    together = parameters.micro_batch * parameters.devices
    if parameters.global_batch % together:
        raise UsageError(
            f"a global batch of {parameters.global_batch} is no multiple of the micro batch {parameters.micro_batch} "
            f"times {parameters.devices} GPUs, all of which share a batch out in LLaMA-Factory",
            "choose --micro-batch and --global-batch so that it is",
        )
    made: dict[str, Any] = {
        "model_name_or_path": parameters.model,
        "stage": parameters.stage,
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": str(folder.resolve()),
        "dataset": _TRAIN,
        "template": _TEMPLATES[prepared.template],
        "cutoff_len": prepared.sequence_length,
        "disable_shuffling": True,
        "output_dir": str(parameters.output),
        "per_device_train_batch_size": parameters.micro_batch,
        "gradient_accumulation_steps": parameters.global_batch // together,
        "max_steps": parameters.steps,
        "learning_rate": parameters.lr,
        **_schedule(parameters),
        "warmup_steps": parameters.warmup,
        "optim": "adamw_torch",
        "weight_decay": parameters.weight_decay,
        "adam_beta1": parameters.betas[0],
        "adam_beta2": parameters.betas[1],
        "adam_epsilon": parameters.epsilon,
        "max_grad_norm": parameters.clip,
        "bf16": parameters.bf16,
        "seed": prepared.seed,
        "logging_steps": 1,
        "save_steps": parameters.save_every,
    }
    if parameters.stage == "dpo":
        made |= {"pref_beta": parameters.beta, "pref_loss": "sigmoid"}
    return made


def _schedule(parameters: HyperParameters) -> dict[str, Any]:
    """Return how the learning rate falls, by the Trainer's names (``SchedulerType``)."""
    if parameters.schedule == "constant":
        return {"lr_scheduler_type": "constant_with_warmup" if parameters.warmup else "constant"}
    if not parameters.min_lr:
        return {"lr_scheduler_type": parameters.schedule}
    if parameters.schedule == "cosine":
        return {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": parameters.min_lr}}
    return {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": parameters.min_lr, "power": 1.0}}


def _described(prepared: Prepared, names: dict[str, str]) -> dict[str, Any]:
    columns = {"messages": "conversations", "tools": "tools"}
    ranking: dict[str, Any] = {}
    if isinstance(prepared.examples, Pairs):
        ranking, columns = {"ranking": True}, {**columns, "chosen": "chosen", "rejected": "rejected"}
    return {
        name: {"file_name": file, "formatting": "sharegpt", **ranking, "columns": columns}
        for name, file in names.items()
    }


def _drawn(prepared: Prepared, usable: NDArray[np.bool_], parameters: HyperParameters) -> Rows:
    """Return the examples that the run reads, in order, without those that cannot be handed over."""
    if not usable[~prepared.held_out].any():
        raise UsageError("none of the examples can be handed over to LLaMA-Factory", "see what was left out, and why")
    wanted = count = parameters.steps * parameters.global_batch
    while True:
        rows = draw(prepared, count)
        rows = rows[usable[rows]]
        if len(rows) >= wanted:
            return rows[:wanted]
        count *= 2


def _write_all(loaded: LoadedTuning, prepared: Prepared, left_out: Counter[str], file: IO[bytes]) -> tuple[Rows, Rows]:
    """Write every example once, and return where each begins and ends: int64[n]; nowhere if it is left out."""
    starts, ends = np.zeros(len(prepared), np.int64), np.zeros(len(prepared), np.int64)
    at = 0
    for row, item, source in _kept(loaded, prepared):
        line = _line(item, source, left_out)
        if line is not None:
            starts[row] = at
            at += file.write(line)
            ends[row] = at
    return starts, ends


def _kept(loaded: LoadedTuning, prepared: Prepared) -> Iterator[tuple[int, Item, str]]:
    """Read the sources again, and yield each example's row, dialogue or preference, and source."""
    for number, source in enumerate(loaded.settings.sources):
        rows = np.flatnonzero(prepared.source == number)
        of = dict(zip(prepared.places[rows].tolist(), rows.tolist(), strict=True))
        form = find_format(source, loaded.root)
        for place, found in enumerate(items(source, loaded.root, form, Tally(source.name))):
            if place in of:
                yield of.pop(place), found.item, source.name
            if not of:
                break


def _line(item: Item, source: str, left_out: Counter[str]) -> bytes | None:
    """Write an example as a line, or count why it cannot be written."""
    turns = list(item.prompt if isinstance(item, Preference) else item.turns)
    system = turns[:1] if turns and turns[0].role == "system" else []
    rest = turns[len(system) :]
    opening = next((place for place, turn in enumerate(rest) if turn.role not in ANSWERING), len(rest))
    rest = rest[opening:]
    # By turns, beginning with a prompt, and ending with an answer, or where two answers follow with a prompt.
    by_turns = all((turn.role in ANSWERING) == bool(place % 2) for place, turn in enumerate(rest))
    by_turns &= len(rest) % 2 == int(isinstance(item, Preference))
    if not by_turns or any(turn.role == "system" for turn in rest):
        left_out["not_by_turns"] += 1
        return None
    if not isinstance(item, Preference) and any(turn.role in ANSWERING and not turn.learned for turn in rest):
        left_out["answer_not_learned"] += 1
        return None
    left_out.update({"openings": 1} if opening else {})
    made: dict[str, Any] = {"conversations": [_message(turn) for turn in (*system, *rest)], "tools": item.tools}
    if isinstance(item, Preference):
        made |= {"chosen": _message(item.chosen), "rejected": _message(item.rejected)}
    return (json.dumps({**made, "source": source}, ensure_ascii=False) + "\n").encode()


def _message(turn: Turn) -> dict[str, str]:
    return {"from": _TAGS[turn.role], "value": turn.content}


def _write(lines: IO[bytes], starts: Rows, ends: Rows, rows: Rows, path: Path) -> None:
    """Write some lines of an open file, in an order, to another."""
    lines.flush()
    data = mmap.mmap(lines.fileno(), 0, access=mmap.ACCESS_READ)
    with data, complete(path) as temporary, temporary.open("wb") as out:
        for start, end in zip(starts[rows].tolist(), ends[rows].tolist(), strict=True):
            out.write(data[start:end])


def _write_text(path: Path, text: str) -> None:
    with complete(path) as temporary:
        temporary.write_text(text, "utf-8", newline="\n")

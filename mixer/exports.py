"""Hands a finished mixture to trainers other than Megatron-LM, each in the form that it documents.

===============  ==========================================================================================
``nemo``         ``bridge.yaml``, overrides of Megatron-Bridge's configuration: its ``GPTDatasetConfig`` takes
                 ``blend_per_split`` as megatron-core does, prefixes and weights of each split (Megatron-Bridge,
                 docs/training/data-preparation.md). ``paths.json``, for ``paths`` of ``MegatronPretraining`` in
                 NeMo and NeMo AutoModel: a flat list of weight and prefix by split (AutoModel,
                 nemo_automodel/components/datasets/llm/megatron_dataset.py, ``try_load_blend_from_json``).
``torchtitan``   ``torchtitan.yaml``, the fields of ``MegatronDataLoader.Config`` (torchtitan,
                 torchtitan/components/data/megatron/loader.py).
``nanotron``     ``nanotron.yaml``, a ``data_stages`` entry with ``NanosetDatasetsArgs`` (nanotron,
                 src/nanotron/config/config.py and docs/nanoset.md), and for each dataset the folder that it
                 reads: ``.ds`` is a link to the ``.bin``, ``.ds.index`` the end of each document (datatrove,
                 pipeline/tokens/tokenizer.py, ``TokenizedFile``).
``llamafactory`` ``dataset_info.json`` over the documents and ``llamafactory.yaml`` with the shares
                 (LLaMA-Factory, data/README.md; src/llamafactory/data/loader.py and data_utils.py).
===============  ==========================================================================================

The first two blend by the same rule as Megatron and keep the ratio at every step. nanotron shuffles the blend, and
LLaMA-Factory draws documents at random: there the ratio holds on average.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from mixer.directory import documents_of
from mixer.errors import UsageError, did_you_mean
from mixer.manifest import Dataset, Manifest, folder_of, read, wholes
from mixer.megatron.indexed import PIECE_DOCUMENTS, IndexFile, read_index, token_dtype
from mixer.megatron.order import SEED
from mixer.mixture.export import CACHE, blended, blended_datasets, data_flags, parts_of, read_flags
from mixer.storage import complete

Files = Iterator[tuple[str, str]]
"""Names and texts."""


def export_to(target: str, directory: Path, out: Path | None = None, documents: Path | None = None) -> list[Path]:
    """Write what a trainer reads, and return the files that a user names to it.

    Parameters
    ----------
    target
        One of ``TARGETS``.
    directory
        The build.
    out
        Where to; default: ``export/<target>`` in the build.
    documents
        The build that holds the documents, if ``directory`` is another mixture of its datasets.

    Raises
    ------
    UsageError
        There is no build, no such target, no documents where the target reads them, or the build has phases.
    BrokenPromiseError
        A file of a dataset is missing or damaged.
    """
    if target not in TARGETS:
        raise UsageError(
            f"nothing is known of {target!r}{did_you_mean(target, TARGETS)}", f"there are {', '.join(TARGETS)}"
        )
    manifest, folder = read(directory), (out or directory / "export" / target)
    if manifest.phases:
        raise UsageError(
            f"{directory} is made for a training in {len(manifest.phases)} phases, which only Megatron's files tell",
            "make one mixture of it first: `mixer mix DIRECTORY --no-phases --tokens TOKENS --out OTHER`",
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in TARGETS[target](manifest, directory.resolve(), folder.resolve(), documents):
        with complete(folder / name) as temporary:
            temporary.write_text(text, "utf-8", newline="\n")
        written.append(folder / name)
    return written


def _nemo(manifest: Manifest, root: Path, _: Path, __: Path | None) -> Files:
    splits = blended(manifest)
    flags = dict(data_flags(parts_of(manifest)[0], root))
    blends = [_blend(splits[split], root) if splits[split] else None for split in ("train", "valid")]
    dataset: dict[str, Any] = {
        "blend": None,
        "blend_per_split": [*blends, None],
        "split": None,
        "seq_length": manifest.sequence_length,
        "random_seed": _seed(root),
        "path_to_cache": str(root / CACHE),
        "dataloader_type": "single",
    }
    if surplus := flags.get("--mid-level-dataset-surplus"):
        dataset["mid_level_dataset_surplus"] = float(surplus)
    train: dict[str, Any] = {"train_samples": manifest.samples, "train_iters": None}
    if manifest.global_batch:
        train["global_batch_size"] = manifest.global_batch
    yield "bridge.yaml", _yaml({"dataset": dataset, "train": train})
    names = {"train": "train", "valid": "validation"}
    paths = {
        names[split]: [text for weight, prefix in entries for text in (repr(weight), str(root / prefix))]
        for split, entries in splits.items()
        if entries
    }
    yield "paths.json", _json(paths)


def _blend(entries: list[tuple[float, str]], root: Path) -> list[list[Any]]:
    return [[str(root / prefix) for _, prefix in entries], [weight for weight, _ in entries]]


def _torchtitan(manifest: Manifest, root: Path, _: Path, __: Path | None) -> Files:
    drawn = blended_datasets(manifest)
    loader = {
        "data_paths": [str(root / entry.prefix) for entry in drawn],
        "data_weights": [entry.weight for entry in drawn],
        "sequence_length": manifest.sequence_length,
        "num_samples": manifest.samples,
        "split": "100,0,0",
        "split_name": "train",
        "data_cache_path": str(root / CACHE),
        "seed": _seed(root),
    }
    training: dict[str, Any] = {"seq_len": manifest.sequence_length}
    if manifest.global_batch:
        training |= {"global_batch_size": manifest.global_batch, "steps": manifest.samples // manifest.global_batch}
    yield "torchtitan.yaml", _yaml({"dataloader": loader, "training": training})


def _nanotron(manifest: Manifest, root: Path, folder: Path, _: Path | None) -> Files:
    drawn = blended_datasets(manifest)
    for entry in drawn:
        _link_tokens(entry, root / entry.prefix, folder / "datasets" / entry.name)
    dataset = {
        "dataset_folder": [str(folder / "datasets" / entry.name) for entry in drawn],
        "dataset_weights": [entry.weight for entry in drawn],
        "tokenizer_name": _flag(root, "--tokenizer-model") or manifest.tokenizer.name,
        "vocab_size": manifest.tokenizer.vocab_size,
        "token_size_in_bytes": token_dtype(manifest.tokenizer.vocab_size).itemsize,
        "return_positions": True,
    }
    data = {"dataset": dataset, "num_loading_workers": 1, "seed": _seed(root)}
    stage = {"name": manifest.recipe, "start_training_step": 1, "data": data}
    tokens: dict[str, Any] = {"sequence_length": manifest.sequence_length}
    if manifest.global_batch:
        tokens["train_steps"] = manifest.samples // manifest.global_batch
    yield "nanotron.yaml", _yaml({"data_stages": [stage], "tokens": tokens})


def _link_tokens(entry: Dataset, prefix: Path, folder: Path) -> None:
    """Make the folder of a dataset: its ids under another name, and where its documents end."""
    index = read_index(prefix)
    folder.mkdir(parents=True, exist_ok=True)
    with complete(folder / "00000.ds") as temporary:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(prefix.with_name(f"{prefix.name}.bin"))
    with complete(folder / "00000.ds.index") as temporary, temporary.open("wb") as file:
        for ends in _ends(index):
            file.write(ends.astype("<u8").tobytes())


def _ends(index: IndexFile) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
    for first in range(0, index.documents, PIECE_DOCUMENTS):
        yield index.ends(first, min(first + PIECE_DOCUMENTS, index.documents))


def _llamafactory(manifest: Manifest, root: Path, folder: Path, documents: Path | None) -> Files:
    texts = documents_of(root, manifest, documents)
    if texts is None:
        raise UsageError(
            f"{root} holds no documents, which LLaMA-Factory reads",
            "name the build that it was mixed from with --documents",
        )
    drawn = wholes(blended_datasets(manifest))
    info = {
        entry.name: {"file_name": str(texts.resolve() / "train" / folder_of(entry)), "columns": {"prompt": "text"}}
        for entry in drawn
    }
    yield "dataset_info.json", _json(info)
    # It draws documents, not tokens: a dataset of long documents is drawn from more rarely.
    draws = np.array([entry.weight * entry.documents / entry.tokens for entry in drawn])
    training: dict[str, Any] = {
        "stage": "pt",
        "dataset_dir": str(folder),
        "dataset": ",".join(info),
        "cutoff_len": manifest.sequence_length,
        "packing": True,
    }
    if len(drawn) > 1:
        training |= {"mix_strategy": "interleave_over", "streaming": True}
        training["interleave_probs"] = ",".join(repr(share) for share in (draws / draws.sum()).tolist())
    if manifest.global_batch:
        training["max_steps"] = manifest.samples // manifest.global_batch
    yield "llamafactory.yaml", _yaml(training)


def _seed(root: Path) -> int:
    return int(_flag(root, "--seed") or SEED)


def _flag(root: Path, flag: str) -> str | None:
    """Return the value of a flag of ``args.txt``; None if it is not given."""
    return next(iter(read_flags(root).get(flag, ())), None)


def _yaml(tree: object) -> str:
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=10_000))


def _json(tree: object) -> str:
    return f"{json.dumps(tree, indent=2, ensure_ascii=False)}\n"


TARGETS: Final[dict[str, Callable[[Manifest, Path, Path, Path | None], Files]]] = {
    "nemo": _nemo,
    "torchtitan": _torchtitan,
    "nanotron": _nanotron,
    "llamafactory": _llamafactory,
}
"""What a mixture can be handed to."""

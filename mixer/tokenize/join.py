"""The fourth stage: shards -> one Megatron prefix per split, source and language, and then their final name.

A mixture then has dozens of prefixes instead of thousands; what is too large for one becomes a few (``parts``).
``finalize`` names the directory by its contents: Megatron
keeps indices in a cache that knows paths but not contents, and would use stale ones for a rebuild at the same path.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import xxhash

from mixer import storage
from mixer.engine.disk import full_disk
from mixer.engine.keys import key_of
from mixer.engine.outputs import OutputFile, Outputs, place
from mixer.engine.stage import PLANNING, Progress, Receipt, Task
from mixer.errors import BrokenPromiseError, MixerError
from mixer.manifest import Hashes, content_id, prefix_of
from mixer.megatron import indexed
from mixer.storage import Root, is_local
from mixer.tokenize.parts import Limits, Size, cut, names_of
from mixer.tokenize.shard import SHARDS

DATASETS = "run/datasets/"
SUMMED = ("documents", "tokens", "additional", "neutral", "labelled", "bytes")
_BUILDING = ".building-"
_PIECE_BYTES = 16 << 20


@dataclass(frozen=True)
class Join:
    """The stage ``join`` over the receipts of ``tokenize``.

    Parameters
    ----------
    receipts
        Of every task of ``tokenize``.
    vocab_size
        Decides the type of the ids.
    limits
        What a prefix may hold.
    """

    receipts: Sequence[Receipt] = field(metadata=PLANNING)
    vocab_size: int
    limits: Limits = field(default_factory=Limits)
    name: str = "join"

    def tasks(self) -> Sequence[Task]:
        """Plan a task per prefix, ``<split>/<source>-<language>[-NN]``; its shards in the order of their numbers.

        Raises
        ------
        MixerError
            A shard has more documents than a prefix can.
        """
        found: dict[str, list[_Shard]] = {}
        for receipt in self.receipts:
            number = receipt.task.rsplit("/", 1)[1]
            for counts in receipt.counts["datasets"]:
                dataset = f"{counts['split']}/{counts['source']}-{counts['language']}"
                found.setdefault(dataset, []).append(_Shard.of(f"{dataset}/{number}", counts, receipt.outputs))
        tasks = []
        for dataset in sorted(found):
            shards = sorted(found[dataset], key=lambda shard: int(shard.path.name))
            parts = cut([self._size(shard) for shard in shards], self.limits)
            for name, part in zip(names_of(dataset, len(parts)), parts, strict=True):
                own = shards[part.start : part.stop]
                key = key_of(self.name, self.vocab_size, [shard.key for shard in own])
                size = sum(shard.bytes for shard in own)
                tasks.append(Task(name, key, size, own, writes=size))
        return tasks

    def _size(self, shard: "_Shard") -> Size:
        size = Size(shard.counts["documents"], shard.counts["tokens"])
        if size.documents > self.limits.documents:
            raise MixerError(
                f"{shard.path.as_posix()} has {size.documents:,} documents, but Megatron numbers those of a prefix "
                f"only up to {self.limits.documents:,}",
                "cut the input file that they come from into several",
            )
        return size

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        """Join the shards of one prefix.

        Returns
        -------
        ``split``, ``source``, ``language``, and the sums of the shards' counts, in the shards' order.

        Raises
        ------
        BrokenPromiseError
            A shard is not what its receipt says.
        """
        shards: list[_Shard] = task.payload
        parts = [
            indexed.Shard(outputs.root / f"{shard.path}.bin", outputs.root / f"{shard.path}.lengths.npy", shard.key[0])
            for shard in shards
        ]
        with (
            outputs.open(f"{DATASETS}{task.id}.bin", size=task.size) as bin_file,
            outputs.open(f"{DATASETS}{task.id}.idx") as idx_file,
        ):
            index = indexed.join(parts, bin_file, idx_file, indexed.token_dtype(self.vocab_size))
        counts = {name: sum(shard.counts[name] for shard in shards) for name in SUMMED}
        if (index.documents, index.tokens) != (counts["documents"], counts["tokens"]):
            raise BrokenPromiseError(
                f"the shards of {task.id} hold {index.documents:,} documents and {index.tokens:,} tokens, but their "
                f"receipts say {counts['documents']:,} and {counts['tokens']:,}",
                f"remove {outputs.root / SHARDS / task.id} and run the same command again",
            )
        progress(documents=index.documents, size=counts["bytes"], kept=index.documents)
        labels = {name: shards[0].counts[name] for name in ("split", "source", "language")}
        return {**labels, **counts, "base": counts["tokens"] - counts["additional"]}


@dataclass(frozen=True)
class _Shard:
    """A shard as its receipt describes it.

    ``path`` is relative to the build directory and without suffix; ``key`` holds the hashes of ids and lengths.
    """

    path: PurePosixPath
    bytes: int
    key: tuple[str, str]
    counts: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, counts: Mapping[str, Any], files: Mapping[str, OutputFile]) -> "_Shard":
        path = SHARDS + name
        ids, lengths = files[f"{path}.bin"], files[f"{path}.lengths.npy"]
        return cls(PurePosixPath(path), ids.bytes, (ids.xxh64, lengths.xxh64), counts)


def finalize(root: Root, receipts: Iterable[Receipt]) -> str:
    """Give joined datasets their final place, ``megatron/<content id>/``, as hard links where that is possible.

    The directory appears when all its files are there; in an object store, which copies them itself, they appear one
    after the other, and ``mixture.json`` says later that they are all there. Where it stands already, missing files are
    put back; what is in the others is not looked at here (see ``remove_damaged``).

    Parameters
    ----------
    root
        The build directory.
    receipts
        Of every task of ``join``.

    Returns
    -------
    The content id.

    Raises
    ------
    BrokenPromiseError
        A file that has to be put back is not what its receipt says.
    DiskError
        The file system has no hard links, and no space for copies.
    """
    identity, files = _joined(receipts)
    target = root / prefix_of(identity, "")
    if not is_local(target):
        there = storage.files(target)
        for name, file in files.items():
            if there.get(name) != file.bytes:
                place(root / DATASETS / name, target / name, root)
        return identity
    with full_disk(target):
        for abandoned in target.parent.glob(f"{_BUILDING}*"):
            shutil.rmtree(abandoned)
        if target.is_dir():
            for name, file in files.items():
                if not (target / name).is_file() or (target / name).stat().st_size != file.bytes:
                    if _hash(root / DATASETS / name) != file.xxh64:  # as a hard link it has the damage of its twin
                        (root / DATASETS / name).unlink()
                        raise BrokenPromiseError(
                            f"{root / DATASETS / name} has been changed since it was written",
                            "run the same command again: it was removed, and is made anew",
                        )
                    place(root / DATASETS / name, target / name, root)
        else:
            building = target.with_name(_BUILDING + identity)
            building.mkdir(parents=True)
            for name in files:
                place(root / DATASETS / name, building / name, root)
            building.rename(target)
    return identity


def remove_damaged(root: Root, receipts: Iterable[Receipt]) -> list[str]:
    """Remove dataset files that have been changed since they were written, so that they are made anew.

    Reads every file, joined and in its final place; for when a build turns out not to hold what it promises.

    Parameters
    ----------
    root
        The build directory.
    receipts
        Of every task of ``join``.

    Returns
    -------
    What was removed, relative to ``root``: their ``join`` has to run again, and ``finalize`` after it.
    """
    identity, files = _joined(receipts)
    removed = []
    for name, file in files.items():
        for path in (f"{DATASETS}{name}", prefix_of(identity, name)):
            if (root / path).is_file() and _hash(root / path) != file.xxh64:
                (root / path).unlink()
                removed.append(path)
    return removed


def _joined(receipts: Iterable[Receipt]) -> tuple[str, dict[str, OutputFile]]:
    """Return the content id of joined datasets, and their files by name (``train/wanjuan-zh.bin``)."""
    files: dict[str, OutputFile] = {}
    hashes = []
    for receipt in receipts:
        pair = {suffix: receipt.outputs[f"{DATASETS}{receipt.task}.{suffix}"] for suffix in ("bin", "idx")}
        files.update({f"{receipt.task}.{suffix}": file for suffix, file in pair.items()})
        hashes.append((receipt.task, Hashes(bin=pair["bin"].xxh64, idx=pair["idx"].xxh64)))
    return content_id(hashes), files


def _hash(path: Root) -> str:
    """Return the xxh64 of a file."""
    digest = xxhash.xxh64()
    with storage.stream(path) as opened:
        while piece := opened.read(_PIECE_BYTES):
            digest.update(piece)
    return str(digest.hexdigest())

"""What Megatron is handed: ``megatron/blend.json`` and ``megatron/args.txt``, and ``mixture.json`` with them.

A training in phases has both files for each phase, in ``megatron/phase-<n>/``.

The end of the stage *mix*: weights are known, the datasets have their final names. ``relocate`` rewrites the absolute
paths after a build was moved; ``verify`` reads these files back through ``read_blend`` and ``read_flags``.

``blend.json`` is what ``--per-split-data-args-path`` takes: for each split a flat list of weight and prefix, or null.
Weights are written with ``repr``, so Megatron reads the very floats of ``mixture.json``. Datasets without samples are
left out (Megatron wants weights above 0), and so are validation sets that do not hold one sequence.

``args.txt`` holds only flags that Megatron knows since core 0.14, one a line, quoted as a shell would want them.
``--train-samples`` is exactly ``samples``: for that number the weights give every dataset its whole number of samples.
Megatron itself trains on whole global batches and throws the rest away, less than one batch, so nothing is rounded
here.
"""

import itertools
import json
import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mixer import storage
from mixer.engine.outputs import Outputs
from mixer.errors import BrokenPromiseError, UsageError
from mixer.manifest import NAME, Dataset, Manifest, Tokenizer, ValidDataset, encode, read
from mixer.megatron.blend import needed_surplus
from mixer.storage import Root, is_local

BLEND = "megatron/blend.json"
ARGS = "megatron/args.txt"
CACHE = "megatron/cache"
"""Where Megatron keeps its indices of a build. Their names hash the prefixes, and so the content id."""
DATA_FLAGS = (
    "--per-split-data-args-path",
    "--data-cache-path",
    "--train-samples",
    "--phase-transition-iterations",
    "--seq-length",
    "--global-batch-size",
    "--mid-level-dataset-surplus",
    "--object-storage-cache-path",
)
"""The flags that ``data_flags`` may write, in its order."""
NO_MMAP = "--no-mmap-bin-files"
"""Comes with the last of them: what is in an object store cannot be mapped into memory."""
SPLITS = ("train", "valid", "test")
PHASE = "phase-"
"""What the folders of phases are called, before their number."""

LLAMA3_HUB = "meta-llama/Meta-Llama-3-8B"
"""The published tokenizer whose ids and end of document are those of ``llama3``."""


@dataclass(frozen=True)
class Weighted:
    """One split of ``blend.json``: weights as they are written, and absolute prefixes without suffix."""

    weights: tuple[str, ...]
    prefixes: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A part of the training with files of its own: all of it, or a phase.

    Parameters
    ----------
    folder
        Where its files lie, relative to the build directory.
    manifest
        What of the build is in it.
    run_samples
        The samples of the whole training.
    transitions
        The iterations at which one phase ends and the next one begins; none without phases.
    """

    folder: str
    manifest: Manifest
    run_samples: int
    transitions: tuple[int, ...] = ()

    @property
    def blend(self) -> str:
        """The file for ``--per-split-data-args-path``, relative to the build directory."""
        return f"{self.folder}/{PurePosixPath(BLEND).name}"

    @property
    def args(self) -> str:
        """The file of flags, relative to the build directory."""
        return f"{self.folder}/{PurePosixPath(ARGS).name}"


def parts_of(manifest: Manifest) -> list[Part]:
    """Return what training reads one after the other: the phases, or all of it at once."""
    if not manifest.phases:
        return [Part("megatron", manifest, manifest.samples)]
    ends = itertools.accumulate(phase.samples // (manifest.global_batch or 1) for phase in manifest.phases)
    transitions = tuple(ends)[:-1]
    return [
        Part(f"megatron/{PHASE}{number}", part, manifest.samples, transitions)
        for number, part in enumerate(manifest.parts, 1)
    ]


def export(
    outputs: Outputs, manifest: Manifest, others: list[list[str]] | None = None, root: Root | None = None
) -> None:
    """Write ``blend.json`` and ``args.txt`` of every part of the training and, last of all, ``mixture.json``.

    Those of another division into phases are removed.

    Parameters
    ----------
    outputs
        Of the build directory.
    manifest
        What to write.
    others
        Flags beside those for the data; default: those of a tokenizer that is no file (``tokenizer_flags``).
    root
        Where Megatron will find the build directory; default: where it is.
    """
    root = root or outputs.root.resolve()
    others = tokenizer_flags(manifest.tokenizer) if others is None else others
    parts = parts_of(manifest)
    for part in parts:
        blend: dict[str, list[str] | None] = dict.fromkeys(SPLITS)
        for split, entries in blended(part.manifest).items():
            blend[split] = [text for weight, prefix in entries for text in (repr(weight), str(root / prefix))] or None
        _write_json(outputs, part.blend, blend)
        _write_flags(outputs, part.args, [*data_flags(part, root), *others])
    with outputs.open(NAME) as file:
        file.write(encode(manifest))
    for path in unlisted_parts(outputs.root, manifest):
        path.unlink()
        if not is_local(path):
            continue
        if path.parent.name.startswith(PHASE) and not any(path.parent.iterdir()):
            path.parent.rmdir()


def unlisted_parts(build_dir: Root, manifest: Manifest) -> list[Root]:
    """List files for parts of a training that has other parts now."""
    listed = {name for part in parts_of(manifest) for name in (part.blend, part.args)}
    there = (f"megatron/{name}" for name in storage.files(build_dir / "megatron"))
    found = (name for name in there if name in (BLEND, ARGS) or name.startswith(f"megatron/{PHASE}"))
    return [build_dir / name for name in sorted(found) if name not in listed]


def blended(manifest: Manifest) -> dict[str, list[tuple[float, str]]]:
    """Return what belongs in ``blend.json``: weight and relative prefix of each dataset, by split.

    A validation set weighs its tokens; one without a whole sequence and the token after it is left out.
    """
    valid = usable_valid(manifest)
    tokens = sum(entry.tokens for entry in valid)
    return {
        "train": [(entry.weight, entry.prefix) for entry in blended_datasets(manifest)],
        "valid": [(entry.tokens / tokens, entry.prefix) for entry in valid],
    }


def blended_datasets(manifest: Manifest) -> list[Dataset]:
    """Return the datasets that training draws from, in the order of the blend."""
    return [entry for entry in manifest.datasets if entry.samples]


def usable_valid(manifest: Manifest) -> list[ValidDataset]:
    """Return the validation sets that hold at least one sequence and the token after it."""
    return [entry for entry in manifest.valid if entry.tokens > manifest.sequence_length]


def data_flags(part: Part, root: Root) -> list[list[str]]:
    """Return Megatron's flags for the data of a part of a build that stands in ``root``, each with its values.

    Megatron reads datasets from an object store, but nothing else: then the other paths are relative to the folder in
    which training is started, to which this file and ``blend.json`` have to be copied.
    """
    manifest = part.manifest
    drawn = blended_datasets(manifest)
    surplus = needed_surplus(
        [entry.weight for entry in drawn],
        [entry.tokens for entry in drawn],
        manifest.sequence_length,
        manifest.samples,
    )
    values = (
        _beside(root, part.blend),
        _beside(root, CACHE),
        str(part.run_samples),
        ",".join(map(str, part.transitions)) or None,
        str(manifest.sequence_length),
        str(manifest.global_batch) if manifest.global_batch else None,
        None if surplus is None else repr(surplus),
        None if is_local(root) else CACHE,
    )
    flags = [[flag, value] for flag, value in zip(DATA_FLAGS, values, strict=True) if value is not None]
    return flags if is_local(root) else [*flags, [NO_MMAP]]


def _beside(root: Root, name: str) -> str:
    """Return where Megatron finds what is no dataset."""
    return str(root / name) if is_local(root) else name


def tokenizer_flags(tokenizer: Tokenizer, file: Path | None = None) -> list[list[str]]:
    """Return the flags that give Megatron the vocabulary and its end of document.

    With an end of document that Megatron knows, ``--eod-mask-loss`` keeps it from learning the first token of the
    next, unrelated document. Only the loss is touched, at one token a document: attention and what is read stay as
    they are. (Megatron then makes its masks anew for every sample; where the attention kernel has its own, give
    ``--no-create-attention-mask-in-dataloader`` as well.)

    Parameters
    ----------
    tokenizer
        Of the manifest.
    file
        A ``tokenizer.json``, or the directory that holds one: Megatron loads that directory. For ``llama3`` it is the
        name of the published tokenizer; give ``--tokenizer-model`` again to read it from a disk. Of a bare list of
        ranks Megatron can read nothing: then it is told the size alone, which knows no end of document.
    """
    if file is not None and (file.name == "tokenizer.json" or (file / "tokenizer.json").is_file()):
        model = str((file if file.is_dir() else file.parent).resolve())
    elif file is None and tokenizer.name == "llama3":
        model = LLAMA3_HUB
    else:
        return [["--tokenizer-type", "NullTokenizer"], ["--vocab-size", str(tokenizer.vocab_size)]]
    return [["--tokenizer-type", "HuggingFaceTokenizer"], ["--tokenizer-model", model], ["--eod-mask-loss"]]


def read_blend(build_dir: Root, name: str = BLEND) -> dict[str, Weighted | None]:
    """Read a ``blend.json`` as Megatron would, by split; ``name`` is relative to the build directory.

    Raises
    ------
    BrokenPromiseError
        It is missing, misses a split, or holds a weight or prefix that Megatron would misread or refuse.
    """
    path = build_dir / name
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise _broken(path, "is missing") from error
    except ValueError as error:
        raise _broken(path, f"is no JSON: {error}") from error
    if not isinstance(content, dict) or any(split not in content for split in SPLITS):
        raise _broken(path, f"must have the keys {', '.join(SPLITS)}")
    return {split: _weighted(path, split, content[split]) for split in SPLITS}


def _weighted(path: Root, split: str, entries: object) -> Weighted | None:
    if entries is None:
        return None
    if not isinstance(entries, list) or not entries or len(entries) % 2 or not all(isinstance(e, str) for e in entries):
        raise _broken(path, f"must hold weight and prefix in turn, all as text, in {split!r}")
    weights, prefixes = tuple(entries[::2]), tuple(entries[1::2])
    for weight, prefix in zip(weights, prefixes, strict=True):
        try:
            usable = 0 < float(weight) < math.inf
        except ValueError:
            usable = False
        if not usable:
            raise _broken(path, f"gives {prefix} the weight {weight!r}: Megatron wants a number above 0")
    if len(set(prefixes)) < len(prefixes):
        raise _broken(path, f"names a prefix twice in {split!r}")
    return Weighted(weights, prefixes)


def read_flags(build_dir: Root, name: str = ARGS) -> dict[str, list[str]]:
    """Read an ``args.txt``, relative to the build directory: the values of each flag.

    Raises
    ------
    BrokenPromiseError
        It is missing or no list of flags.
    """
    path = build_dir / name
    found: dict[str, list[str]] = {}
    values: list[str] | None = None
    try:
        words = shlex.split(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise _broken(path, "is missing") from error
    except ValueError as error:
        raise _broken(path, f"cannot be read: {error}") from error
    for word in words:
        if word.startswith("--"):
            values = found[word] = []
        elif values is None:
            raise _broken(path, f"begins with {word!r}, which is no flag")
        else:
            values.append(word)
    return found


def other_flags(build_dir: Root, manifest: Manifest) -> list[list[str]]:
    """Return the flags of a build that are not for its data: the tokenizer's, and what a user has added.

    Those of the first phase stand for all.

    Raises
    ------
    BrokenPromiseError
        ``args.txt`` is missing or no list of flags.
    """
    flags = read_flags(build_dir, parts_of(manifest)[0].args)
    return _others(flags)


def _others(flags: Mapping[str, list[str]]) -> list[list[str]]:
    ours = (*DATA_FLAGS, NO_MMAP) if DATA_FLAGS[-1] in flags else DATA_FLAGS
    return [[flag, *values] for flag, values in flags.items() if flag not in ours]


def relocate(build_dir: Root, root: Root | None = None) -> Root:
    """Rewrite the absolute paths of ``blend.json`` and ``args.txt`` after a move, and return the new root.

    Weights, order and all other flags stay as they are.

    Parameters
    ----------
    build_dir
        The build, where it is now.
    root
        Where Megatron will find it, a path or ``s3://bucket/mix``; default: where it is now.

    Raises
    ------
    UsageError
        There is no build, or ``root`` is relative.
    BrokenPromiseError
        ``blend.json`` names a prefix that is not of this build.
    """
    manifest = read(build_dir)
    root = build_dir.resolve() if root is None else root
    if not root.is_absolute():
        raise UsageError(f"the root {root} is not an absolute path", "Megatron needs one: give it in full")
    outputs = Outputs(build_dir)
    for part in parts_of(manifest):
        known = {entry.prefix for entry in part.manifest.entries}
        blend: dict[str, list[str] | None] = {}
        for split, weighted in read_blend(build_dir, part.blend).items():
            blend[split] = None if weighted is None else list(_moved(build_dir / part.blend, weighted, known, root))
        present = read_flags(build_dir, part.args)
        if DATA_FLAGS[-1] in present:
            present.pop(NO_MMAP, None)
            present.pop(DATA_FLAGS[-1])
        present["--per-split-data-args-path"] = [_beside(root, part.blend)]
        present["--data-cache-path"] = [_beside(root, CACHE)]
        if not is_local(root):
            present |= {DATA_FLAGS[-1]: [CACHE], NO_MMAP: []}
        _write_json(outputs, part.blend, blend)
        _write_flags(outputs, part.args, [[flag, *values] for flag, values in present.items()])
    return root


def _moved(path: Root, weighted: Weighted, known: set[str], root: Root) -> Iterator[str]:
    """Yield weights and prefixes, those now below ``root``."""
    for weight, prefix in zip(weighted.weights, weighted.prefixes, strict=True):
        relative = "/".join(PurePosixPath(prefix).parts[-4:])
        if relative not in known:
            raise _broken(path, f"names {prefix}, which {NAME} does not list")
        yield weight
        yield str(root / relative)


def _write_json(outputs: Outputs, name: str, blend: Mapping[str, list[str] | None]) -> None:
    with outputs.open(name) as file:
        file.write(f"{json.dumps(blend, indent=2, ensure_ascii=False)}\n".encode())


def _write_flags(outputs: Outputs, name: str, lines: list[list[str]]) -> None:
    with outputs.open(name) as file:
        file.write("".join(f"{shlex.join(line)}\n" for line in lines).encode())


def _broken(path: Root, what: str) -> BrokenPromiseError:
    return BrokenPromiseError(f"{path} {what}", "build again with the same command: only the mixture is made anew")

"""Small builds made by hand, for tests that need a finished one without running the pipeline.

``make_build`` writes what the stages join and mix would: dataset files, ``mixture.json``, ``blend.json``, ``args.txt``.
The solver is not asked: samples are shared out in proportion to tokens inside each language, by largest remainder.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from mixer.engine.outputs import Outputs
from mixer.manifest import Almr, Dataset, Hashes, Manifest, Tokenizer, ValidDataset, content_id, encode, read
from mixer.megatron.indexed import token_dtype, write_index
from mixer.mixture.checks import samples_max
from mixer.mixture.export import export
from mixer.mixture.inventory import most_samples
from mixer.mixture.settings import MixtureSettings
from mixer.remix import remix

TOKENIZER = Tokenizer(name="tiny", vocab_size=1000, eod=999, bos=False, sha256="0" * 64)


@dataclass(frozen=True)
class Made:
    """A dataset to make: ``share`` is its measured part in the additional language (default: by its language)."""

    source: str
    language: str = "en"
    tokens: int = 20_000
    valid_tokens: int = 400
    share: float | None = None
    max_epochs: float = 4.0


DATASETS = (Made("wanjuan", "zh", 30_000), Made("zhihu", "zh", 11_000), Made("dolma", "en", 50_000, share=0.01))


def make_build(
    tmp_path: Path,
    datasets: Sequence[Made] = DATASETS,
    almr: float = 0.33,
    samples: int | None = None,
    sequence_length: int = 16,
    tokenizer: Tokenizer = TOKENIZER,
) -> Path:
    """Make a whole build in ``tmp_path / "build"`` and return its path; ``samples`` None: the most the caps allow."""
    build_dir = tmp_path / "build"
    outputs = Outputs(build_dir)
    rng = np.random.default_rng(7)
    files: dict[str, tuple[int, int, Hashes]] = {}
    for made in datasets:
        for split, tokens in (("train", made.tokens), ("valid", made.valid_tokens)):
            if tokens:
                name = f"{split}/{made.source}-{made.language}"
                lengths = random_lengths(rng, tokens)
                files[name] = (
                    len(lengths),
                    tokens,
                    write_dataset(outputs, f"megatron/made/{name}", lengths, tokenizer),
                )
    build = content_id((name, hashes) for name, (_, _, hashes) in files.items())
    (build_dir / "megatron" / "made").rename(build_dir / "megatron" / build)

    caps = [most_samples(made.tokens, made.max_epochs, sequence_length) for made in datasets]
    zh = [made.language == "zh" for made in datasets]
    drawn = share_out(datasets, zh, caps, almr, samples)
    total = sum(drawn)
    entries = []
    for made, count, additional in zip(datasets, drawn, zh, strict=True):
        name = f"train/{made.source}-{made.language}"
        documents, tokens, hashes = files[name]
        in_zh = round(tokens * (made.share if made.share is not None else float(additional)))
        entries.append(
            Dataset(
                prefix=f"megatron/{build}/{name}",
                source=made.source,
                language=made.language,
                domain="web",
                role="additional" if additional else "base",
                documents=documents,
                tokens=tokens,
                additional_tokens=in_zh,
                base_tokens=tokens - in_zh,
                neutral_tokens=documents,
                samples=count,
                weight=count / total,
                epochs=count * sequence_length / tokens,
                max_epochs=made.max_epochs,
                xxh64=hashes,
            )
        )
    valid = [
        ValidDataset(
            prefix=f"megatron/{build}/{name}",
            source=made.source,
            language=made.language,
            documents=files[name][0],
            tokens=files[name][1],
            xxh64=files[name][2],
        )
        for made in datasets
        if (name := f"valid/{made.source}-{made.language}") in files
    ]
    realised = sum(count for count, additional in zip(drawn, zh, strict=True) if additional) / total
    manifest = Manifest(
        recipe="made",
        build=build,
        tokenizer=tokenizer,
        sequence_length=sequence_length,
        samples=total,
        samples_max=total,
        tokens=total * sequence_length,
        almr=Almr(
            target=almr,
            basis="label",
            realised=realised,
            measured=sum(entry.weight * entry.additional_share for entry in entries),
        ),
        datasets=tuple(entries),
        valid=tuple(valid),
        additional_language="zh",
        global_batch=256,
        seed=1234,
    )
    export(outputs, msgspec.structs.replace(manifest, samples_max=samples_max(manifest)))
    return build_dir


def make_phased(
    tmp_path: Path, phases: Sequence[dict[str, object]], datasets: Sequence[Made] = DATASETS, **settings: object
) -> Path:
    """Make a build and mix it anew in phases, as ``mixer mix`` does; ``settings`` are further keys of ``mixture``."""
    build_dir = make_build(tmp_path, datasets)
    given: dict[str, object] = {"sequence_length": 16, "global_batch": 8, **settings}
    shares = {made.source: (0.0, 1.0) for made in datasets}
    change(build_dir, settings=MixtureSettings.model_validate(given).record, shares=shares)
    remix(build_dir, {"phases": list(phases)})
    return build_dir


def write_dataset(outputs: Outputs, prefix: str, lengths: np.ndarray, tokenizer: Tokenizer = TOKENIZER) -> Hashes:
    """Write documents of these lengths: ids below EOD, then EOD."""
    dtype = token_dtype(tokenizer.vocab_size)
    ids = np.random.default_rng(int(lengths.sum())).integers(0, tokenizer.eod, int(lengths.sum())).astype(dtype)
    ids[np.cumsum(lengths) - 1] = tokenizer.eod
    with outputs.open(f"{prefix}.bin") as file:
        file.write(ids.view(np.uint8).data)
    with outputs.open(f"{prefix}.idx") as file:
        write_index(file, [lengths], dtype)
    return Hashes(bin=outputs.files[f"{prefix}.bin"].xxh64, idx=outputs.files[f"{prefix}.idx"].xxh64)


def random_lengths(rng: np.random.Generator, tokens: int) -> np.ndarray:
    """Cut ``tokens`` into documents of 1 to 99 tokens: int32[documents]."""
    ends = np.unique(np.minimum(np.cumsum(rng.integers(1, 100, tokens // 10 + 2)), tokens))
    return np.diff(ends, prepend=0).astype(np.int32)


def share_out(datasets: Sequence[Made], zh: list[bool], caps: list[int], almr: float, samples: int | None) -> list[int]:
    """Return each dataset's samples."""
    if samples is None:
        rooms = [sum(c for c, z in zip(caps, zh, strict=True) if z == side) for side in (True, False)]
        parts = [almr, 1 - almr]
        # A few samples of slack, because the caps of single datasets are rounded, too.
        samples = int(0.8 * min(room / part for room, part in zip(rooms, parts, strict=True) if part))
    of_language = {True: round(almr * samples)}
    of_language[False] = samples - of_language[True]
    drawn = [0] * len(datasets)
    for side in (True, False):
        inside = [k for k, z in enumerate(zh) if z == side]
        tokens = sum(datasets[k].tokens for k in inside)
        wanted = [of_language[side] * datasets[k].tokens / tokens for k in inside]
        for k, want in zip(inside, wanted, strict=True):
            drawn[k] = int(want)
        rest = of_language[side] - sum(drawn[k] for k in inside)
        for k, _ in sorted(zip(inside, wanted, strict=True), key=lambda pair: pair[1] % 1, reverse=True)[:rest]:
            drawn[k] += 1
    return drawn


def change(build_dir: Path, **changes: object) -> None:
    """Rewrite ``mixture.json`` with other values."""
    manifest = msgspec.structs.replace(read(build_dir), **changes)
    (build_dir / "mixture.json").write_bytes(encode(manifest))


def change_text(path: Path, pattern: str, replacement: str) -> None:
    """Replace the first match of a pattern in a text file; there must be one."""
    text, count = re.subn(pattern, replacement, path.read_text("utf-8"), count=1)
    assert count == 1, f"{pattern} is not in {path}"
    path.write_text(text, "utf-8")

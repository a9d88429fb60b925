"""Hugging Face datasets, streamed: a task is one shard of ``datasets.load_dataset(..., streaming=True)``.

A folder that ``save_to_disk`` wrote does not come here: the listing names its Arrow files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixer.engine.keys import key_of
from mixer.errors import InputError, RecipeError
from mixer.sources.columns import rows, select, slices
from mixer.sources.rows import Rows
from mixer.sources.settings import DatasetSettings, SourceSettings
from mixer.variables import expand

ROWS_AT_ONCE = 1024
_BUILDERS = ("json", "csv", "parquet", "arrow", "text")


@dataclass(frozen=True)
class Shard:
    """One of the ``count`` shards of a streamed dataset.

    ``arguments`` are what ``load_dataset`` is given; ``path`` names the shard in documents and messages; ``size`` is in
    bytes, 0 where the dataset does not tell; ``version`` changes with the data files.
    """

    arguments: tuple[tuple[str, Any], ...]
    index: int
    count: int
    path: str
    size: int
    version: str

    def identity(self) -> list[Any]:
        """Return what a task's key depends on: JSON values."""
        return [self.path, self.index, self.count, self.version]


def list_shards(source: SourceSettings, root: Path) -> list[Shard]:
    """Ask ``datasets`` how many shards a source has.

    Raises
    ------
    RecipeError
        There is no such dataset, configuration or split.
    InputError
        It cannot be reached.
    """
    assert source.datasets is not None
    arguments = _arguments(source.datasets, source.name, root)
    split = source.datasets.split
    dataset = _load(arguments, source)
    count = max(1, dataset.num_shards)
    size = int(getattr((dataset.info.splits or {}).get(split), "num_bytes", 0) or 0) // count
    version = _version(arguments, split)
    settings = tuple(arguments.items())
    return [Shard(settings, i, count, f"{split}-{i:05d}-of-{count:05d}", size, version) for i in range(count)]


def read(shard: Shard, source: SourceSettings) -> Iterator[Rows]:
    """Read a shard; positions are row numbers of the shard, from 0.

    Raises
    ------
    InputError
        The dataset cannot be reached, or ``datasets`` cannot read it.
    RecipeError
        A wanted column is missing or holds no text.
    """
    dataset = _load(dict(shard.arguments), source)
    if dataset.num_shards != shard.count and shard.count > 1:
        raise InputError(
            f"source {source.name!r}: the dataset has {dataset.num_shards} shards, when planned it had {shard.count}",
            "run the same command again",
        )
    if shard.count > 1:
        dataset = dataset.shard(num_shards=shard.count, index=shard.index)
    row = 0
    tables = dataset.with_format("arrow").iter(batch_size=ROWS_AT_ONCE)
    selection, schema = None, None
    while True:
        try:
            table = next(tables, None)
        except Exception as error:  # whatever a builder raises while it reads
            raise InputError(
                f"source {source.name!r}: {shard.path} cannot be read after row {row}: {error}",
                "check the data files of this dataset",
            ) from error
        if table is None:
            return
        if selection is None or table.schema != schema:
            selection, schema = select(table.schema, source, shard.path), table.schema
        for batch in table.combine_chunks().to_batches():
            for part in slices(batch):
                yield rows(part, selection, row)
                row += len(part)


def _arguments(settings: DatasetSettings, source: str, root: Path) -> dict[str, Any]:
    """Return the arguments of ``load_dataset``; paths that exist below the recipe's folder become absolute."""

    def local(value: str, key: str) -> str:
        expanded = expand(value, f"source {source!r}: `datasets.{key}`")
        there = root.absolute() / Path(expanded).expanduser()
        return str(there) if "://" not in expanded and there.exists() else expanded

    arguments: dict[str, Any] = {"path": settings.path}
    if settings.path not in _BUILDERS:
        arguments["path"] = local(settings.path, "path")
    if settings.name is not None:
        arguments["name"] = settings.name
    if settings.data_dir is not None:
        arguments["data_dir"] = local(settings.data_dir, "data_dir")
    if settings.data_files is not None:
        arguments["data_files"] = [
            _rooted(expand(v, f"source {source!r}: `datasets.data_files`"), root, settings) for v in settings.data_files
        ]
    if settings.revision is not None:
        arguments["revision"] = settings.revision
    arguments["split"] = settings.split
    return arguments


def _rooted(files: str, root: Path, settings: DatasetSettings) -> str:
    """Make a data file of a builder absolute; those of a dataset are relative to the dataset."""
    if settings.path not in _BUILDERS or "://" in files:
        return files
    return str(root.absolute() / Path(files).expanduser())


def _load(arguments: dict[str, Any], source: SourceSettings) -> Any:
    import datasets

    try:
        loaded = datasets.load_dataset(**arguments, streaming=True)
    except (ValueError, FileNotFoundError) as error:  # DatasetNotFoundError, a bad split, a bad configuration
        raise RecipeError(
            f"source {source.name!r}: `datasets` names what cannot be loaded: {error}",
            "check path, name, split and data_dir; a script-based dataset must be converted to data files first",
        ) from error
    except Exception as error:
        raise InputError(
            f"source {source.name!r}: the dataset {arguments['path']!r} cannot be reached: {error}",
            "check the network, or download it and name the local folder",
        ) from error
    if not hasattr(loaded, "num_shards"):
        raise RecipeError(
            f"source {source.name!r}: `datasets.split` {arguments['split']!r} names several splits", "name one"
        )
    return loaded


def _version(arguments: dict[str, Any], split: str) -> str:
    """Hash what ``datasets`` knows about the data files' contents: commits, etags or times of change."""
    import datasets

    builder = datasets.load_dataset_builder(**{key: value for key, value in arguments.items() if key != "split"})
    files = (builder.config.data_files or {}).get(split)
    return key_of(
        str(builder.hash), [list(map(str, origin)) for origin in getattr(files, "origin_metadata", None) or []]
    )

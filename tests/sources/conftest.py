import os
from pathlib import Path

import pytest

from mixer.documents import METADATA
from mixer.sources.plan import plan_source
from mixer.sources.read import read
from mixer.sources.settings import SourceSettings


class Corpus:
    """A folder to write files into and to read as a source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rejected = []
        self.skipped = []

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def source(self, *paths: str, **settings) -> SourceSettings:
        if "datasets" not in settings:
            settings["paths"] = list(paths) or ["*"]
        return SourceSettings(name="corpus", **settings)

    def tasks(self, *paths: str, limit=None, target_bytes=1 << 30, **settings):
        return plan_source(self.source(*paths, **settings), self.folder, limit, target_bytes)

    def batches(self, *paths: str, limit=None, target_bytes=1 << 30, **settings):
        self.rejected, self.skipped = [], []
        source = self.source(*paths, **settings)
        tasks = plan_source(source, self.folder, limit, target_bytes)
        reject = lambda *entry: self.rejected.append(entry)  # noqa: E731
        return [batch for task in tasks for batch in read(task, source, reject, self.skipped.append)]

    def documents(self, *paths: str, **settings):
        """Read everything as (file, record, text, metadata...) tuples; rejections go to ``rejected``."""
        found = []
        for batch in self.batches(*paths, **settings):
            names = ["file", "record", "text", *(n for n in batch.schema.names if n.startswith(METADATA))]
            found += zip(*(batch[name].to_pylist() for name in names), strict=True)
        return found

    def texts(self, *paths: str, **settings):
        return [document[2] for document in self.documents(*paths, **settings)]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)


@pytest.fixture
def real_pages() -> Path:
    if not os.environ.get("MIXER_DATA"):
        pytest.skip("MIXER_DATA does not point to the real corpora")
    return Path(os.environ["MIXER_DATA"]) / "html"

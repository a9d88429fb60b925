"""Every real file, read with the settings of the trial recipe, gives the records its README counts."""

import os
import re
from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pytest
import yaml

from mixer.sources.listing import list_files
from mixer.sources.plan import plan_source
from mixer.sources.read import read
from mixer.sources.settings import SourceSettings

pytestmark = pytest.mark.real_data

TRIAL = Path(__file__).parents[2] / "benchmarks" / "trial.yaml"
SPLIT = {"en/wiki_demo.txt": 30, "zh/zuozhuan_traditional.txt.gz": 268}
"""Files that the README counts as one record and the recipe reads by line or paragraph."""


@pytest.fixture(scope="module")
def data():
    if "MIXER_DATA" not in os.environ:
        pytest.skip("MIXER_DATA does not name the corpora")
    return Path(os.environ["MIXER_DATA"])


def sources():
    entries = yaml.safe_load(TRIAL.read_text("utf-8"))["sources"]
    fields = SourceSettings.model_fields
    return [SourceSettings(**{key: value for key, value in entry.items() if key in fields}) for entry in entries]


def counted(data):
    """Return the records that the README gives for each file of the four folders."""
    rows = re.findall(
        r"^\| ((?:en|zh|math|code)/\S+) \|[^|]*\|[^|]*\| (\d+) \|", (data / "README.md").read_text("utf-8"), re.M
    )
    return {path: int(records) for path, records in rows} | SPLIT


def test_the_trial_recipe_names_every_file(data):
    named = [file.url for source in sources() for file in list_files(source, TRIAL.parent).files]
    there = [str(path) for folder in ("en", "zh", "math", "code") for path in (data / folder).iterdir()]
    assert sorted(named) == sorted(there)
    assert len(there) == 36


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_every_record_of_a_source_is_read(data, source):
    expected = counted(data)
    rejected = []
    found, size = Counter(), 0
    for task in plan_source(source, TRIAL.parent):
        for batch in read(task, source, lambda *entry: rejected.append(entry)):
            found.update(batch["file"].to_pylist())
            size += pc.sum(pc.binary_length(batch["text"])).as_py()
            assert batch["text"].null_count == 0
            batch.validate(full=True)
    assert rejected == []
    wanted = {path.split("/")[-1]: records for path, records in expected.items()}
    assert found == {file.path: wanted[file.path] for file in list_files(source, TRIAL.parent).files}
    assert size > 500_000


def test_the_encoding_is_really_decoded(data):
    source = next(source for source in sources() if source.name == "medical-qa")
    [task] = plan_source(source, TRIAL.parent)
    batch = next(iter(read(task, source, lambda *_: None)))
    assert batch["metadata.department"][0].as_py() == "心血管科"
    assert batch["text"][0].as_py().startswith("高血压患者能吃党参吗？\n我有高血压")

"""What is shipped: small, with an origin and licence for every text, and quick to start."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from mixer.loading import packaged_recipes

ROOT = Path(__file__).parent.parent
RECIPES = Path(str(resources.files("mixer") / "recipes"))
QUICKSTART = RECIPES / "quickstart"
TEXTS = {".md"}


def corpora():
    return sorted(path for path in QUICKSTART.iterdir() if path.suffix not in TEXTS)


def test_packaged_data_is_small():
    shipped = [path for path in RECIPES.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in shipped) < 5_000_000


def test_the_quickstart_comes_in_several_containers_and_reads_all_its_files():
    kinds = {"".join(path.suffixes) for path in corpora()}
    assert kinds == {".jsonl.zst", ".jsonl.gz", ".json.gz", ".csv.gz", ".parquet"}
    recipe = yaml.safe_load((RECIPES / "quickstart.yaml").read_text("utf-8"))
    named = [path for source in recipe["sources"] for path in source["paths"]]
    assert sorted(named) == [f"quickstart/{path.name}" for path in corpora()]
    assert recipe["mixture"]["valid_fraction"] == 0.02
    languages = {source.get("language", "detected") for source in recipe["sources"]}
    domains = {source["domain"] for source in recipe["sources"]}
    assert languages >= {"en", "zh"}
    assert domains >= {"book", "math", "code"}


def table():
    """Read the rows of the table of origins and licences by file."""
    text = (QUICKSTART / "README.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    head, *rows = rows
    named = [dict(zip(head, row, strict=True)) for row in rows]
    for before, row in pairwise(named):
        row["file"] = row["file"] or before["file"]
    return named


def test_every_corpus_has_its_origin_and_licence_beside_it():
    rows = table()
    assert {row["file"] for row in rows} == {path.name for path in corpora()}
    for row in rows:
        assert row["origin (commit)"]
        assert re.search(r"public domain|MIT|Apache-2.0|CC-BY-4.0|CC0-1.0|PSF-2.0", row["licence"]), row
        assert not re.search(r"GPL|-(NC|ND|SA)\b", row["licence"]), row
    sizes = {row["file"]: int(row["file bytes"].split()[0].replace(",", "")) for row in rows if row["file bytes"]}
    assert sizes == {path.name: path.stat().st_size for path in corpora()}


def test_notices_that_licences_ask_for_are_shipped():
    notices = (QUICKSTART / "LICENSES.md").read_text("utf-8")
    headings = set(re.findall(r"^## (.*)", notices, re.M))
    assert headings >= {"Public domain", "CC0 1.0", "CC BY 4.0", "Apache License 2.0", "MIT"}
    assert any("Python Software Foundation" in heading for heading in headings)
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")


def test_everything_in_the_folder_is_package_data():
    """What an installed package holds is what ``package-data`` matches; an editable install would hide a gap."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["mixer"]
    package = ROOT / "mixer"
    matched = {path for pattern in patterns for path in package.glob(pattern)}
    tracked = subprocess.run(["git", "ls-files", "mixer"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("no git checkout")
    data = {ROOT / name for name in tracked.stdout.splitlines() if not name.endswith(".py")}
    assert data - matched == set()


def test_the_command_is_installed():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="mixer")
    assert entry.value == "mixer.cli:main"
    assert (Path(sys.executable).parent / "mixer").exists()


HEAVY = (
    "awkward",
    "datasets",
    "fasttext",
    "gigatoken",
    "megatron",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "scipy",
    "torch",
)


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["train", "cpt", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom mixer.cli import main\n"
        f"try: main({arguments!r})\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_torch_is_in_one_extra_only():
    requirements = importlib.metadata.requires("mixer")
    assert [line.split(";")[1].strip() for line in requirements if line.startswith("torch")] == ['extra == "train"']
    assert packaged_recipes()

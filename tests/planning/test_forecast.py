"""``mixer plan``: the mixture of a build before there is one, what it costs, and what to be warned of."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.directory import disk_usage
from mixer.errors import InfeasibleError
from mixer.loading import LoadedRecipe, check
from mixer.manifest import read
from mixer.mixture.weights import plan as solve
from mixer.planning.costs import Amount, core_hours, disk, indices
from mixer.planning.counts import Count
from mixer.planning.forecast import forecast
from mixer.planning.kinds import ENGLISH_WEB, KINDS, STAGES, kind_of
from mixer.tokenize.parts import Limits
from tests.mixture.inventories import inventories
from tests.small import Small, mixer

ROOT = Path(__file__).parent.parent.parent
SOURCES = [
    {"name": "dolma", "paths": ["${NOWHERE}/*.jsonl"], "domain": "web", "language": "en"},
    {"name": "wanjuan", "paths": ["missing/*.jsonl"], "domain": "web", "language": "zh"},
    {"name": "stars", "paths": ["missing/*.parquet"], "domain": "code"},
]
COUNTS = {"dolma": "3T", "wanjuan": "100B", "stars": "200B"}


@pytest.fixture
def plan(tmp_path):
    """Plan a recipe of which no file exists."""

    def run(*arguments, counts=COUNTS):
        recipe = {"name": "far", "tokenizer": "missing.json", "mixture": {"tokens": "500B"}, "sources": SOURCES}
        (tmp_path / "far.yaml").write_text(yaml.safe_dump(recipe))
        if counts is not None:
            (tmp_path / "far.counts.json").write_text(json.dumps(counts))
        return mixer("plan", tmp_path / "far.yaml", *arguments)

    return run


def test_no_file_has_to_exist(plan):
    ran = plan()
    assert (ran.code, ran.stderr) == (0, "")
    assert re.search(
        r"^wanjuan-zh +additional +web +100,000,000,000 +1 +80,566,406 +0.33000 +1.65 +4$", ran.stdout, re.M
    )
    assert "ALMR: target 0.33 (label), realised 0.330000\n" in ran.stdout
    assert "244,140,625 samples of 2,048 tokens = 500,000,000,000 tokens" in ran.stdout
    assert "warning: read more than once: wanjuan-zh (1.65)" in ran.stdout
    assert ".bin 13.2 TB" in ran.stdout
    assert "blend 2.4 GB of memory" in ran.stdout
    assert "estimate" not in ran.stdout


def test_options_win_over_the_recipe(plan):
    ran = plan("--almr", "0.0999", "--tokens", "1T", "--sequence-length", "8192", "--set", "mixture.max_epochs=1")
    assert "122,070,312 samples of 8,192 tokens" in ran.stdout
    assert "ALMR: target 0.0999" in ran.stdout
    assert re.search(r"^wanjuan-zh .* 1.00 +1$", ran.stdout, re.M)


def test_an_infeasible_mixture_comes_with_remedies_that_do(plan):
    ran = plan("--tokens", "3T")
    assert ran.code == 3
    almr, tokens, cap = re.search(r"--almr (\S+) at.*--tokens (\d+) at.*max_epochs: (\S+) for", ran.stderr).groups()
    assert plan("--tokens", "3T", "--almr", almr).code == 0
    assert plan("--tokens", tokens).code == 0
    assert plan("--tokens", "3T", "--set", f"mixture.max_epochs={cap}").code == 0


@pytest.mark.parametrize(
    ("arguments", "counts", "message"),
    [
        ([], None, "there are no counts beside the recipe"),
        ([], {**COUNTS, "wanjaun": 3}, "has no source 'wanjaun' (did you mean 'wanjuan'?)"),
        ([], {"dolma": 3}, "has no counts of wanjuan, stars"),
        (["--almr", "33"], COUNTS, "for 33 % write 0.33"),
        (["--set", "mixture.alrm=1"], COUNTS, "mixture.alrm: unknown key"),
        (["--set", "mixture.almr_basis=measured"], COUNTS, "needs the additional_share of every count"),
    ],
)
def test_wrong_input_ends_with_two(plan, arguments, counts, message):
    ran = plan(*arguments, counts=counts)
    assert ran.code == 2
    assert message in ran.stderr


def test_what_to_be_warned_of(plan):
    counts = {
        "dolma": {"en": {"tokens": "3T", "additional_share": 0.001}},
        "wanjuan": {"zh": {"bytes": "400B", "additional_share": 0.9}},
        "stars": {"code": {"tokens": "200B", "documents": 3_000_000_000}},
    }
    ran = plan(counts=counts)
    assert "warning: nobody has counted the tokens of wanjuan-zh: estimates (~)" in ran.stdout
    assert re.search(r"~112,044,81\d,\d{3} ", ran.stdout)  # at 3.57 bytes a token
    assert "by the language of the text the ALMR is 0.2976, not 0.33 (as labelled where no share is counted: stars" in (
        ran.stdout
    )
    assert re.search(r"^stars-code +base +code +200,000,000,000 +2 ", ran.stdout, re.M)
    assert re.search(r"^dolma-en +base +web +3,000,000,000,000 +22 ", ran.stdout, re.M)
    counts["stars"]["code"]["additional_share"] = 0.0
    ran = plan("--set", "mixture.almr_basis=measured", counts=counts)
    assert "target 0.33 (measured), realised 0.366" in ran.stdout
    assert "measured 0.330000" in ran.stdout
    tiny = plan("--set", "mixture.small_datasets=drop", counts={**COUNTS, "stars": "100K"})
    assert "left out: stars-code: too small" in tiny.stdout
    refused = plan(counts={**COUNTS, "stars": "100K"})
    assert (refused.code, "too small to train on" in refused.stderr) == (3, True)


@pytest.mark.usefixtures("kept_server")
def test_the_counts_of_a_build_give_the_mixture_of_the_build(tmp_path, small_tokenizer):
    small = Small(tmp_path, small_tokenizer)
    assert small.build().code == 0
    manifest = read(small.out)
    ran = mixer("plan", small.file(), "--counts", small.out)
    assert (ran.code, ran.stderr) == (0, "")
    for entry in manifest.datasets:
        row = f"{entry.source}-{entry.language} +{entry.role} +{entry.domain} +{entry.tokens:,} +1 +{entry.samples:,} "
        assert re.search(row, ran.stdout), ran.stdout
    assert f"realised {manifest.almr.realised:.6f}, measured {manifest.almr.measured:.6f}" in ran.stdout
    train = small.out / "megatron" / manifest.build / "train"
    amounts = [Amount(ENGLISH_WEB, 0, entry.documents, entry.tokens, 0) for entry in manifest.datasets]
    expected = disk(amounts, 2)  # a small vocabulary
    assert expected.bin + expected.idx == disk_usage(train)


@settings(max_examples=40, deadline=None)
@given(inventories(largest=12), st.floats(0, 1), st.sampled_from(["label", "measured"]), st.randoms())
def test_any_counts_give_the_mixture_of_the_solver(inventory, almr, basis, random):
    sources, counts = {}, {}
    rows = list(range(len(inventory.names)))
    random.shuffle(rows)  # the order of sources changes nothing
    for k in rows:
        name, language = inventory.names[k].rsplit("-", 1)
        sources[name] = {"name": name, "paths": ["x"], "domain": inventory.domain[k], "language": "detect"}
        sources[name]["max_epochs"] = float(inventory.max_epochs[k])
        share = float(inventory.measured[k])
        counts.setdefault(name, {})[language] = Count(tokens=int(inventory.tokens[k]), additional_share=share)
    mixture = {"almr": almr, "almr_basis": basis, "small_datasets": "drop"}
    tree = {"name": "any", "tokenizer": "missing.json", "mixture": mixture, "sources": list(sources.values())}
    loaded = LoadedRecipe(check(tree, "here"), Path("/nowhere"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixer.planning.forecast.Limits", lambda: Limits(10**15, 10**15))  # the solver knows wholes alone
        _compare(loaded, inventory, counts)


def _compare(loaded, inventory, counts):
    try:
        expected = solve(inventory, loaded.recipe.mixture)
    except InfeasibleError as error:
        with pytest.raises(InfeasibleError) as caught:
            forecast(loaded, Path("counts.json"), counts)
        assert (caught.value.message, caught.value.remedy) == (error.message, error.remedy)
        return
    found = forecast(loaded, Path("counts.json"), counts)
    assert {dataset.name: dataset.samples for dataset in found.datasets} == dict(
        zip(inventory.names, expected.n.tolist(), strict=True)
    )
    assert found.measured == pytest.approx(expected.measured)
    assert (found.mixture.binding, found.mixture.left_out) == (expected.binding, expected.left_out)


def test_indices_of_very_many_documents_and_samples_are_wider():
    # one epoch of 2**42 tokens: 2**31 - 1 samples of 2,048, whatever part of them is drawn
    few = indices([Amount(ENGLISH_WEB, 0, 10, 2**42, 2**29)] * 2, 2048)
    assert few.cache_bytes == 2 * (10 * 2**29 + 4 * 10 + 8 * 2**31 + 4 * (2**31 - 1))
    many = indices([Amount(ENGLISH_WEB, 0, 2**31, 2**42, 2**29)] * 2, 2048)
    assert many.cache_bytes == 2 * (10 * 2**29 + 4 * 2**31 + 16 * 2**31 + 4 * (2**31 - 1))
    assert many.peak_bytes == 20 * 2**31
    long = indices([Amount(ENGLISH_WEB, 0, 10, 2**44, 2**29)], 2048)
    assert long.cache_bytes == 4 * 10 + 8 * 2**33 + 8 * (2**33 - 1)
    assert (long.blend_bytes, long.blend_seconds) == (0, 0)  # a single dataset is not blended


def test_hours_are_text_over_speed():
    hours = core_hours([Amount(kind, 36 * 10**8, 1, 1, 1) for kind in KINDS])
    assert list(hours) == list(STAGES)
    for stage, value in hours.items():
        assert value == pytest.approx(sum(1 / kind.speeds[stage] for kind in KINDS))


def test_the_table_of_speeds_is_near_what_was_measured_last():
    """Figures move by a tenth from run to run; a factor of two says that the table should be taken over again."""
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    head, *lines = text[text.index("#### Stages") :].split("\n\n")[1].splitlines()
    names = [cell.strip() for cell in head.strip("|").split("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    measured = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
    for kind in KINDS:
        for stage in STAGES:
            ratio = kind.speeds[stage] / float(measured[kind.name][stage].replace(",", ""))
            assert 0.5 < ratio < 2, f"{kind.name}, {stage}: take the figures of benchmarks/README.md over into kinds.py"


def test_kinds_of_text():
    assert kind_of("web", "zh").name == "Chinese web and docs"
    assert kind_of("qa", "en").name == "English web"
    assert kind_of("book", "zh").name == "Chinese books"
    assert {kind_of("math", language).name for language in ("en", "zh")} == {"mathematics"}
    assert kind_of("code", "code").name == "code"

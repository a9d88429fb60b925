"""Counts: read as they are written, and nothing in them ignored."""

import json

import pytest

from mixer.errors import RecipeError, UsageError
from mixer.loading import check
from mixer.planning.counts import Count, beside, read_counts
from tests.builds import DATASETS, Made, make_build

RECIPE = check(
    {
        "name": "counted",
        "sources": [
            {"name": "dolma", "paths": ["x"], "domain": "web"},
            {"name": "wanjuan", "paths": ["x"], "domain": "web", "language": "zh"},
            {"name": "stars", "paths": ["x"], "domain": "code"},
        ],
    },
    "here",
)
WHOLE = {"dolma": {"en": "3T", "zh": 0}, "wanjuan": 2e9, "stars": {"code": {"tokens": 10**9}}}


@pytest.fixture
def counts(tmp_path):
    def write(tree):
        path = tmp_path / "counts.json"
        path.write_text(tree if isinstance(tree, str) else json.dumps(tree), "utf-8")
        return path

    return write


def test_amounts_of_every_form(counts):
    found = read_counts(
        counts(
            {
                "_note": ["anything"],
                "dolma": {
                    "en": {"tokens": "1.5T", "documents": "2B", "bytes": 6_000_000_000_000, "comment": "the card"},
                    "zh": {"bytes": "300K", "additional_share": 0.9, "estimate": True},
                },
                "wanjuan": 2_000_000_000,
                "stars": "250B",
            }
        ),
        RECIPE,
    )
    assert found == {
        "dolma": {
            "en": Count(tokens=1_500_000_000_000, documents=2 * 10**9, bytes=6 * 10**12, comment="the card"),
            "zh": Count(bytes=300_000, additional_share=0.9, estimate=True),
        },
        "wanjuan": {"zh": Count(tokens=2 * 10**9)},  # declared
        "stars": {"code": Count(tokens=250 * 10**9)},  # by its domain
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dolmo": 1}, "the recipe has no source 'dolmo' (did you mean 'dolma'?)"),
        ({"dolma": 5}, "source 'dolma' may hold zh, en; its counts must say how much of each"),
        ({"dolma": {"fr": 5}}, "source 'dolma' cannot hold 'fr'"),
        ({"wanjuan": {"en": 5}}, "source 'wanjuan' cannot hold 'en'"),
        ({"stars": {"en": 5}}, "source 'stars' cannot hold 'en'"),
        ({"stars": {"code": {"token": 5}}}, "stars.code: unknown key 'token' (did you mean 'tokens'?)"),
        ({"stars": {"code": {}}}, "stars.code: give `tokens` or `bytes`"),
        ({"stars": "max"}, "`max` is no count"),
        ({"stars": "many"}, "'many' is no amount of tokens"),
        ({"stars": -1}, "-1 is outside 1 to"),
        ({"stars": 1.5}, "1.5 is not a whole number of tokens"),
        ({"stars": True}, "stars.code: tokens: "),
        ({"stars": None}, "give `tokens` or `bytes`"),
        ({"stars": {"code": {"tokens": 1, "additional_share": 97}}}, "for 97 % write 0.97"),
        ({"stars": {"code": {"tokens": 1, "documents": -3}}}, "documents: "),
    ],
)
def test_what_is_wrong_is_named(counts, change, message):
    with pytest.raises(RecipeError) as caught:
        read_counts(counts({**WHOLE, **change}), RECIPE)
    assert message in caught.value.message


def test_a_source_without_counts_is_named(counts):
    with pytest.raises(RecipeError, match="has no counts of wanjuan, stars"):
        read_counts(counts({"dolma": {"en": 1}}), RECIPE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "does not hold an object"),
        ('{"stars": 1, "stars": 2}', "the key 'stars' is given twice"),
        ('{"dolma": {"en": 1, "en": 2}}', "the key 'en' is given twice"),
    ],
)
def test_what_is_no_file_of_counts(counts, text, message):
    with pytest.raises(RecipeError) as caught:
        read_counts(counts(text), RECIPE)
    assert message in caught.value.message


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_counts(tmp_path / "none.json", RECIPE)


def test_a_finished_build_counts_the_same(tmp_path):
    made = (*DATASETS, Made("wanjuan", "en", 9_000))
    build = make_build(tmp_path, made)
    sources = [{"name": name, "paths": ["x"], "domain": "web"} for name in ("wanjuan", "zhihu", "dolma")]
    recipe = check({"name": "made", "sources": sources}, "here")
    for path in (build, build / "mixture.json"):
        found = read_counts(path, recipe)
        assert {(s, la): c.tokens for s, languages in found.items() for la, c in languages.items()} == {
            (each.source, each.language): each.tokens for each in made
        }
        assert found["dolma"]["en"].additional_share == pytest.approx(0.01)
        assert all(count.documents for languages in found.values() for count in languages.values())
    with pytest.raises(UsageError, match="no finished build"):
        read_counts(tmp_path, recipe)


def test_counts_beside_a_recipe(tmp_path):
    recipe = tmp_path / "my.recipe.yaml"
    assert beside(recipe) is None
    (tmp_path / "my.recipe.counts.json").write_text("{}")
    assert beside(recipe) == tmp_path / "my.recipe.counts.json"

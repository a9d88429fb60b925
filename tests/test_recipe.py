"""The recipe: whatever is unknown or impossible is refused by name, with the nearest spelling."""

import re

import pytest
import yaml

from mixer.errors import RecipeError
from mixer.filters.settings import Overrides
from mixer.loading import load_recipe, packaged_recipes, recipe_path
from mixer.recipe import Recipe

SMALL = {
    "name": "small",
    "mixture": {"almr": 0.33},
    "sources": [
        {"name": "web-1.0", "paths": ["*.jsonl"], "domain": "web"},
        {"name": "zhihu", "paths": ["*.jsonl"], "text": "{title}\n{body}", "domain": "qa", "language": "zh"},
    ],
}


@pytest.fixture
def write(tmp_path):
    def write(**changes):
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump({**SMALL, **changes}, allow_unicode=True), "utf-8")
        return str(path)

    return write


def test_a_small_recipe_takes_defaults(write, tmp_path):
    loaded = load_recipe(write())
    assert loaded.root == tmp_path
    recipe = loaded.recipe
    assert (recipe.tokenizer, recipe.seed, recipe.mixture.sequence_length) == ("llama3", 1234, 2048)
    assert recipe.mixture.tokens == "max"
    assert recipe.max_epochs("zhihu") == 4


SOURCES = SMALL["sources"]
FIXED = {"strategy": "weights"}


def test_sources_may_have_shares(write):
    sources = [{**SOURCES[0], "min_share": 0.1, "max_share": 0.8}, {**SOURCES[1], "share": 0.33}]
    assert load_recipe(write(sources=sources)).recipe.share_bounds == {"web-1.0": (0.1, 0.8), "zhihu": (0.33, 0.33)}
    assert load_recipe(write()).recipe.share_bounds == {"web-1.0": (0.0, 1.0), "zhihu": (0.0, 1.0)}


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_weights_come_from_a_file_beside_the_recipe_or_from_the_recipe(write, tmp_path, kind):
    (tmp_path / "w.json").write_text('{"web-1.0": 0.7, "zhihu": 0.3}')
    (tmp_path / "w.csv").write_text("source,weight\nweb-1.0,0.7\nzhihu,0.3\n")
    path = write(mixture={**FIXED, "weights": f"w.{kind}"})
    given = load_recipe(path).recipe
    assert given.mixture.weights == {"web-1.0": 0.7, "zhihu": 0.3}
    assert given == load_recipe(write(mixture={**FIXED, "weights": {"web-1.0": 0.7, "zhihu": 0.3}})).recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixture": {**FIXED, "weights": {"web-1.0": 1, "zihu": 1}}}, r"no source 'zihu' \(did you mean 'zhihu'\?\)"),
        ({"mixture": {**FIXED, "weights": {"zhihu": 1}}}, "no weight for web-1.0; write 0 to leave a source out"),
        ({"mixture": {**FIXED, "weights": "none.csv"}}, "none.csv cannot be read"),
        ({"mixture": {**FIXED, "weights": [1, 2]}}, "mixture.weights: .*valid dictionary"),
        (
            {"mixture": {"domains": {"qa": 0.2}}, "sources": [SOURCES[0], {**SOURCES[1], "share": 0.3}]},
            "domain qa is 0.2",
        ),
        ({"sources": [{**SOURCES[0], "share": 0.8}, {**SOURCES[1], "min_share": 0.3}]}, "must have 1.1 together"),
        ({"sources": [SOURCES[0], {**SOURCES[1], "min_share": 0.3, "max_share": 0.2}]}, "zhihu: min_share .* is above"),
        (
            {
                "mixture": {**FIXED, "weights": {"web-1.0": 1, "zhihu": 0}},
                "sources": [SOURCES[0], {**SOURCES[1], "min_share": 0.3}],
            },
            "mixture.weights: source 'zhihu' must have a share of 0.3, but its weight is 0",
        ),
    ],
)
def test_shares_and_weights_that_cannot_be_are_refused(write, changes, message):
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(write(**changes))
    assert caught.value.exit_code == 2


def test_packaged_recipes_load():
    assert "quickstart" in packaged_recipes()
    for name in packaged_recipes():
        assert load_recipe(name).recipe.name == name


def test_overrides_reach_every_depth(write):
    overrides = [
        "mixture.almr=0.4",
        "mixture.tokens=1.7T",
        "mixture.seed=7",
        "sources.web-1.0.max_epochs=2",
        "sources.zhihu.filters.document.characters=20",
        "filters.web/en.gopher.words=[30, 1000]",
        "dedup.minhash=false",
        "tokenizer=/some/tokenizer.json",
    ]
    recipe = load_recipe(write(), overrides).recipe
    assert recipe.mixture.almr == 0.4
    assert recipe.mixture.tokens == 1_700_000_000_000
    assert (recipe.seed, recipe.split_seed) == (1234, 7)
    assert recipe.max_epochs("web-1.0") == 2
    assert recipe.source("zhihu").filters == Overrides({"document.characters": 20})
    assert recipe.filters.root == {"web/en": Overrides({"gopher.words": (30, 1000)})}
    assert recipe.dedup.minhash is False
    assert recipe.tokenizer == "/some/tokenizer.json"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tokeniser": "llama3"}, r"tokeniser: unknown key \(did you mean 'tokenizer'\?\)"),
        ({"mixture": {"alrm": 0.3}}, r"mixture.alrm: unknown key \(did you mean 'almr'\?\)"),
        ({"mixture": {"almr": 1.5}}, r"mixture.almr: a ratio between 0 and 1"),
        ({"mixture": {"almr": -0.1}}, r"mixture.almr: .*greater than or equal to 0"),
        ({"mixture": {"tokens": "many"}}, r"mixture.tokens"),
        ({"mixture": {"domains": {"maths": 0.1}}}, r"unknown domain 'maths' \(did you mean 'math'\?\)"),
        ({"dedup": {"minhash": {"band": 3}}}, r"dedup.minhash.*band: unknown key \(did you mean 'bands'\?\)"),
        ({"sources": []}, r"sources: .*at least 1"),
        ({"name": "a/b"}, r"name: "),
        ({"filters": {"web/en": {"gopher.wods": 3}}}, r"did you mean 'gopher.words'"),
        ({"filters": {"wbe/en": {}}}, r"did you mean 'web'"),
        ({"filters": {"web/cn": {"gopher.words": False}}}, r"filters: 'web/cn' is about documents in 'cn'"),
        ({"custom": [{"name": "own", "function": "a:b", "where": ["*/eng"]}]}, r"'own'.*did you mean 'en'"),
    ],
)
def test_what_is_wrong_is_named(write, changes, expected):
    with pytest.raises(RecipeError, match=expected) as caught:
        load_recipe(write(**changes))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"languages": "zh"}, r"sources.web-1.0.languages: unknown key \(did you mean 'language'\?\)"),
        ({"language": "zhh"}, r"declares language 'zhh'.*did you mean 'zh'"),
        ({"domain": "webb"}, r"sources.web-1.0.domain: "),
        ({"name": "zhihu"}, r"two sources are named 'zhihu'"),
        (
            {"programming_language": "pat", "metadata": ["path"]},
            r"names 'pat', which is not among its `metadata` \(did you mean 'path'\?\)",
        ),
        ({"max_epochs": 0}, r"sources.web-1.0.max_epochs: .*greater than 0"),
        ({"paths": None}, r"exactly one of `paths` and `datasets`"),
    ],
)
def test_what_is_wrong_in_a_source_is_named(write, change, expected):
    first, second = SMALL["sources"]
    with pytest.raises(RecipeError, match=expected):
        load_recipe(write(sources=[{**first, **change}, second]))


def test_all_faults_are_listed_together(write):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(seeds=1, mixture={"almr": 2}))
    assert re.search("seeds.*unknown key", caught.value.message)
    assert "mixture.almr" in caught.value.message


def test_a_key_given_twice_is_refused(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("name: a\nmixture: {almr: 0.3, almr: 0.4}\n")
    with pytest.raises(RecipeError, match="'almr' is given twice"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("almr", "not of the form key=value"),
        ("mixture.alrm=1", "did you mean 'almr'"),
        ("sources.zhihuu.max_epochs=2", r"no source 'zhihuu' \(did you mean 'zhihu'"),
        ("name.x=2", "holds a value"),
        ("mixture.almr={", "not valid YAML"),
    ],
)
def test_wrong_overrides_are_named(write, override, expected):
    with pytest.raises(RecipeError, match=expected):
        load_recipe(write(), [override])


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text", ""])
def test_what_is_no_mapping_is_no_recipe(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="is no recipe"):
        load_recipe(str(path))


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'quickstart'"):
        recipe_path("quikstart")


def test_the_schema_describes_every_key():
    schema = Recipe.model_json_schema()
    for definition in [schema, *schema["$defs"].values()]:
        for name, field in definition.get("properties", {}).items():
            if definition.get("additionalProperties") is False and "." not in name:
                assert field.get("description"), name

"""Good text of every kind must not be lost to a rule made for something else: shares kept on real files."""

import numpy as np
import pytest

from mixer.documents import make_batch, undecided
from mixer.filters.edits import EDITORS, edit
from mixer.filters.judge import judge
from mixer.filters.language import label, load_model
from mixer.filters.settings import FilterSettings, LanguageSettings, Overrides, checkbook, editbook, rulebook
from tests.filters import corpora


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "domain", "share"),
    [
        ("en/c4_demo.jsonl.gz", "web", 0.85),  # the rest has fewer than 50 words, mostly
        ("en/dclm_majority.jsonl.zst", "web", 0.84),  # half of it is bad, people say: see test_pages_that_people_judged
        ("en/redpajama_cc_2023_06.jsonl", "web", 1.0),
        ("en/redpajama_c4.jsonl", "web", 0.9),
        ("en/pile_uspto.jsonl", "web", 1.0),
        ("en/wiki_demo.txt", "book", 1.0),
        ("en/go_blog_docs.parquet", "book", 0.77),  # the rest has fewer than 50 words
        ("en/python_peps.jsonl.gz", "book", 0.98),
        ("en/python_peps.jsonl.gz", "web", 0.9),
        ("en/rust_book_versions.jsonl.zst", "book", 0.97),
        ("en/gutenberg_editions.jsonl.zst", "book", 0.95),  # a listing of a directory goes
        ("zh/classic_novels_html.jsonl.zst", "book", 1.0),
        ("zh/laws_versions.jsonl.zst", "book", 0.985),  # twenty English stubs go
        ("zh/laws_versions.jsonl.zst", "web", 0.985),
        ("zh/oi_wiki.jsonl.zst", "web", 0.98),
        ("zh/tidb_docs_cn.jsonl.zst", "web", 0.97),
        ("zh/go_web_book_en_zh_zhtw.jsonl.zst", "book", 0.97),
        ("zh/trpl_zh_cn.jsonl.gz", "book", 0.98),
        ("zh/react_docs_en_hans_hant.parquet", "book", 0.97),  # lists of links and pages of repeated code go
        ("zh/tldr_en_zh_zhtw.jsonl.gz", "qa", 0.97),
        ("zh/tang_poetry_traditional.jsonl.zst", "poetry", 0.999),
        ("zh/song_ci_simplified.json.gz", "poetry", 0.985),  # fragments of one line go
        ("zh/zuozhuan_traditional.txt.gz", "book", 1.0),
        ("math/ape210k_valid.jsonl.gz", "math", 0.98),  # formulas without a word go
        ("math/gsm8k_train.jsonl.zst", "math", 0.999),
        ("math/textbooks_latex.jsonl.zst", "math", 0.99),
        ("code/local_packages_starcoder_schema.parquet", "code", 0.98),  # minified and generated files go
        ("code/30_seconds_snippets.jsonl.gz", "code", 1.0),
        ("code/javascript_questions_en_zh.jsonl", "qa", 0.99),
        ("code/javascript_questions_en_zh.jsonl", "code", 1.0),
        ("code/stack_exchange_qa.jsonl.gz", "code", 0.95),  # two dumps of data go
    ],
)
def test_share_kept(name, domain, share, model):
    assert kept(corpora.texts(name), domain, model).mean() >= share


@pytest.mark.real_data
def test_articles_without_line_breaks_are_kept(model):
    articles = corpora.texts("en/wiki_demo.txt")[0].splitlines()
    assert kept(articles, "web", model).mean() >= 0.9  # lists of meanings go


@pytest.mark.real_data
def test_pages_that_people_judged(model):
    pages = corpora.records("en/dclm_majority.jsonl.zst")
    good = np.array([page["label"] == 1 for page in pages])
    found = kept([page["text"] for page in pages], "web", model)
    assert found[good].mean() >= 0.97
    assert found[~good].mean() <= 0.73


def kept(texts, domain, model):
    batch = make_batch([""] * len(texts), range(len(texts)), texts)
    batch = label(batch, "auto", domain, {"en", "zh"}, LanguageSettings(), model)
    checks = checkbook(FilterSettings(), Overrides(), domain, ["en", "zh", "code"])
    return undecided(judge(edit(batch, editbook(checks), EDITORS), rulebook(checks)))

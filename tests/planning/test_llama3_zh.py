"""The packaged recipe llama3-zh: every corpus of the paper's Table 1, each in the layout in which it is published."""

import gzip
import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixer.documents import METADATA
from mixer.loading import load_recipe, recipe_path
from mixer.planning.counts import beside, read_counts
from mixer.sources.plan import plan_source
from mixer.sources.read import read
from tests.small import mixer

CORPORA = {  # Table 1 of arXiv:2409.06624: what each is called there, and the sources of the recipe that hold it
    "dolma": ["dolma", "dolma-reddit", "dolma-papers", "dolma-qa", "dolma-math"],
    "langchao": ["langchao"],
    "WanJuan": ["wanjuan", "wanjuan-exam"],
    "zhihu-wenda": ["zhihu-wenda"],
    "AutoMathText": ["automathtext"],
    "openwebmath": ["openwebmath"],
    "AMPS": ["amps-khan", "amps-mathematica"],
    "StackOverflow": ["stackoverflow"],
    "starcoderdata": ["starcoderdata"],
    "proprietary": ["proprietary"],
}


def lines(*records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def dolma(*texts, source="common-crawl"):
    return gzip.compress(
        lines(
            *(
                {
                    "id": f"doc-{number}",
                    "text": text,
                    "source": source,
                    "added": "2023-08-01T00:00:00.000Z",
                    "created": "2020-01-01T00:00:00.000Z",
                    "metadata": {"provenance": "cc_en_head-0000.json.gz:1"},
                }
                for number, text in enumerate(texts)
            )
        )
    )


def table(**columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


EXAM = {
    "id": "BkQQU-7xK3YAJdm0cWMc",
    "q_type": "单选题",
    "q_main": "下列属于同种物质的是（）",
    "option_a": "冰和水",
    "option_b": "铁和铁锈",
    "option_c": "镁和氧化镁",
    "option_d": "金刚石和石墨",
    "option_e": "",
    "std_ans": "A",
    "answer": "",
    "answer_detail": "冰和水都由水分子构成。",
    "grade": "九年级",
    "major": "化学",
    "keypoint": "化学式的书写及意义",
}
LAYOUTS: dict[str, tuple[dict[str, bytes], list[str]]] = {
    "openwebmath": (
        {
            "open-web-math/data/train-00000-of-00114-2a1.parquet": table(
                url=["https://math.stackexchange.com/q/1"],
                text=["Let $x$ be real."],
                date=["2023-03-21T00:00:00"],
                metadata=['{"extraction_info": {"found_math": true}}'],
            )
        },
        ["Let $x$ be real."],
    ),
    "automathtext": (
        {
            "AutoMathText/data/web/0.45-0.50.jsonl": lines({"url": "u", "text": "too low"}),
            "AutoMathText/data/web/0.95-1.00.jsonl": lines(
                {"url": "https://a.org", "text": "Groups.", "date": "2019", "meta": {"lm_q1q2_score": 0.97}}
            ),
            "AutoMathText/data/arxiv/0.90-1.00/003.jsonl": lines(
                {"id": "math/0001", "title": "On rings", "abstract": "We", "text": "Rings.", "meta": {"q1": 0.9}}
            ),
            "AutoMathText/data/code/python/0.50-0.55.jsonl": lines(
                {"text": "def gcd(a, b): ...", "repo_name": "x/y", "meta": {"lm_q1q2_score": 0.51}}
            ),
        },
        ["Rings.", "def gcd(a, b): ...", "Groups."],
    ),
    "amps-khan": (
        {
            "amps/khan/504/1607900679.json": json.dumps(
                {"problem": "Simplify $2x + x$.", "hints": ["Add the coefficients.", "$= 3x$"]}, indent=4
            ).encode()
        },
        ["Simplify $2x + x$.\nAdd the coefficients.\n$= 3x$"],
    ),
    "amps-mathematica": (
        {"amps/mathematica/algebra/gcd/1.txt": b"Problem:\nFind $\\gcd(4, 6)$.\nAnswer:\n$2$\n"},
        ["Problem:\nFind $\\gcd(4, 6)$.\nAnswer:\n$2$\n"],
    ),
    "starcoderdata": (
        {
            "starcoderdata/python/train-00000-of-00059.parquet": table(
                max_stars_repo_path=["src/a.py"],
                max_stars_repo_name=["x/y"],
                max_stars_count=pa.array([3], pa.int64()),
                id=["17"],
                content=["print(1)\n"],
            )
        },
        ["print(1)\n"],
    ),
    "stackoverflow": (
        {
            "stackoverflow-posts/stackoverflow-posts-00000-of-00058.parquet": table(
                Id=pa.array([4, 7], pa.int64()),
                PostTypeId=pa.array([1, 2], pa.int64()),
                Score=pa.array([794, 527], pa.int64()),
                Body=["How to convert a `decimal`?", "An explicit cast."],
                Title=["How to convert Decimal to Double?", None],
                Tags=pa.array([["c#", "type-conversion"], None], pa.list_(pa.string())),
                ContentLicense=["CC BY-SA 4.0", "CC BY-SA 4.0"],
            )
        },
        ["How to convert a `decimal`?", "An explicit cast."],
    ),
    "zhihu-wenda": (
        {
            "Zhihu-KOL/data/train-00000-of-00005-a1ad.parquet": table(
                INSTRUCTION=["怎么说服男朋友买烤箱？"],
                RESPONSE=["先从分享开始。"],
                SOURCE=["Zhihu"],
                METADATA=['{"question_id": 357137111.0, "upvotes": "赞同 15"}'],
            )
        },
        ["怎么说服男朋友买烤箱？\n先从分享开始。"],
    ),
    "wanjuan": (
        {
            f"WanJuan/nlp/CN/{part}/part-000036-a894b46e.jsonl": lines(
                {"id": f"Bk{part}", "content": f"{part}的正文。"}
            )
            for part in ("ChinaNews-cn", "Law-cn", "Patent-cn", "TextBook-cn", "WebText-cn", "Wiki-cn")
        },
        [f"{part}的正文。" for part in ("ChinaNews-cn", "Law-cn", "Patent-cn", "TextBook-cn", "WebText-cn", "Wiki-cn")],
    ),
    "wanjuan-exam": (
        {"WanJuan/nlp/CN/Exam-cn/part-003756-a894b46e.jsonl": lines(EXAM)},
        ["下列属于同种物质的是（）\n冰和水\n铁和铁锈\n镁和氧化镁\n金刚石和石墨\n\nA\n冰和水都由水分子构成。"],
    ),
    "langchao": (
        {"yuan-1.0/001.txt": "第一篇文章的全文。\n第二篇文章的全文。\n".encode()},
        ["第一篇文章的全文。", "第二篇文章的全文。"],
    ),
    "dolma": (
        {
            "dolma-v1_7/cc_en_head/cc_en_head-0000.json.gz": dolma("A page."),
            "dolma-v1_7/cc_news_tail/cc_news-0000.json.gz": dolma("News."),
            "dolma-v1_7/falcon-refinedweb-filtered/falcon-0000.json.gz": dolma("Refined.", source="refinedweb"),
            "dolma-v1_7/c4-filtered/c4-0000.json.gz": dolma("Clean.", source="c4"),
            # held by other sources of the recipe
            "dolma-v1_7/starcoder/starcoder-0000.json.gz": dolma("print(1)\n", source="starcoder"),
            "dolma-v1_7/proof_pile_2-open_web_math/open-web-math-train-0000.json.gz": dolma("Let $x$ be real."),
        },
        ["Clean.", "A page.", "News.", "Refined."],
    ),
    "dolma-reddit": ({"dolma-v1_7/reddit/reddit-0000.json.gz": dolma("A post.", source="reddit")}, ["A post."]),
    "dolma-papers": (
        {
            "dolma-v1_7/pes2o/pes2o-0000.json.gz": dolma("A paper.", source="pes2o"),
            "dolma-v1_7/redpajama-arxiv/arxiv-0000.json.gz": dolma("A preprint.", source="arxiv"),
            "dolma-v1_7/books/books-0000.json.gz": dolma("A book.", source="gutenberg"),
            "dolma-v1_7/wiki/wiki-0000.json.gz": dolma("An article.", source="wikipedia"),
            "dolma-v1_7/wikiref_megawika/megawika-0000.json.gz": dolma("A reference.", source="megawika"),
        },
        ["A book.", "A paper.", "A preprint.", "An article.", "A reference."],
    ),
    "dolma-qa": (
        {
            "dolma-v1_7/redpajama-stackexchange/stackexchange-0000.json.gz": dolma("Q: A:", source="stackexchange"),
            "dolma-v1_7/tulu_flan/tulu_flan-0000.json.gz": dolma("Premise.", source="flan"),
        },
        ["Q: A:", "Premise."],
    ),
    "dolma-math": (
        {"dolma-v1_7/proof_pile_2-algebraic_stack/algebraic-stack-train-0000.json.gz": dolma("theorem t : 1 = 1")},
        ["theorem t : 1 = 1"],
    ),
    "proprietary": ({"proprietary/a/mine.jsonl": lines({"text": "自有文本。"})}, ["自有文本。"]),
}
METADATA_OF = {
    "openwebmath": {"url": "https://math.stackexchange.com/q/1", "date": "2023-03-21T00:00:00"},
    "starcoderdata": {"max_stars_repo_path": "src/a.py", "max_stars_repo_name": "x/y", "id": "17"},
    "stackoverflow": {"Id": "4", "Tags": '["c#","type-conversion"]', "ContentLicense": "CC BY-SA 4.0"},
    "wanjuan-exam": {"id": EXAM["id"], "q_type": EXAM["q_type"], "grade": EXAM["grade"], "major": EXAM["major"]},
    "dolma-qa": {"id": "doc-0", "source": "stackexchange"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for files, _ in LAYOUTS.values():
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("llama3-zh").recipe


def test_it_holds_every_corpus_of_the_paper_and_its_numbers(recipe):
    assert sorted(source.name for source in recipe.sources) == sorted(
        name for names in CORPORA.values() for name in names
    )
    assert set(LAYOUTS) == {source.name for source in recipe.sources}
    mixture = recipe.mixture
    assert (mixture.almr, mixture.tokens, mixture.sequence_length) == (0.33, 1_700_000_000_000, 2048)
    assert (mixture.additional_language, mixture.base_languages, mixture.global_batch) == ("zh", ("en",), 256)
    assert all(path.startswith("${DATA}/") for source in recipe.sources for path in source.paths)


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_corpus_is_read_in_the_layout_in_which_it_is_published(name, recipe, data, monkeypatch):
    monkeypatch.setenv("DATA", str(data))
    source = recipe.source(name)
    rejected = []
    batches = [
        batch
        for task in plan_source(source, Path("/nowhere"))
        for batch in read(task, source, lambda *entry: rejected.append(entry))
    ]
    assert sorted(text for batch in batches for text in batch["text"].to_pylist()) == sorted(LAYOUTS[name][1])
    assert rejected == []
    for field, value in METADATA_OF.get(name, {}).items():
        assert batches[0][METADATA + field][0].as_py() == value


@pytest.mark.skipif(not os.environ.get("MIXER_DATA"), reason="MIXER_DATA does not point to the real corpora")
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "file", "place"),
    [
        ("wanjuan", "format_samples/wanjuan1.0_readme_samples.jsonl", "WanJuan/nlp/CN/Law-cn/samples.jsonl"),
        ("starcoderdata", "code/local_packages_starcoder_schema.parquet", "starcoderdata/python/a.parquet"),
    ],
)
def test_published_samples_are_read(name, file, place, recipe, data, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA", str(tmp_path))
    for written, content in LAYOUTS[name][0].items():  # so that every path of the source matches something
        (tmp_path / written).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / written).write_bytes(content)
    (tmp_path / place).symlink_to(Path(os.environ["MIXER_DATA"]) / file)
    source, rejected = recipe.source(name), []
    read_from = [
        batch
        for task in plan_source(source, tmp_path)
        for batch in read(task, source, lambda *entry: rejected.append(entry))
    ]
    assert sum(batch.num_rows for batch in read_from) > len(LAYOUTS[name][1])
    assert rejected == []


def test_with_every_corpus_in_its_place_the_recipe_is_sound(data, monkeypatch):
    monkeypatch.setenv("DATA", str(data))
    checked = mixer("recipe", "check", "llama3-zh")
    assert (checked.code, checked.stderr) == (0, "")
    assert "llama3-zh: 33 % zh, tokens: 1700000000000" in checked.stdout
    monkeypatch.delenv("DATA")
    missing = mixer("recipe", "check", "llama3-zh")
    assert missing.code == 2
    assert "${DATA}, which is not set" in missing.stderr


def test_it_is_listed_beside_the_quickstart():
    listed = mixer("recipe", "list").stdout
    assert re.search(r"^quickstart +\w", listed, re.M)
    assert re.search(r"^llama3-zh +Llama-3", listed, re.M)


def test_its_counts_say_where_they_come_from(recipe):
    path = beside(recipe_path("llama3-zh"))
    counts = read_counts(path, recipe)
    for name, languages in counts.items():
        for language, count in languages.items():
            assert count.comment, name
            assert count.estimate or count.tokens in (None, 0), f"{name}-{language}: nobody counts in Llama-3 tokens"


def test_it_is_planned_out_of_the_box(monkeypatch):
    monkeypatch.delenv("DATA", raising=False)
    ran = mixer("plan", "llama3-zh")
    assert (ran.code, ran.stderr) == (0, "")
    assert "realised 0.330000" in ran.stdout
    assert "830,078,125 samples of 2,048 tokens = 1,700,000,000,000 tokens" in ran.stdout
    assert "blend 8.3 GB of memory" in ran.stdout
    assert "left out: proprietary-zh: no training tokens" in ran.stdout
    assert "documents, but Megatron numbers" not in ran.stdout

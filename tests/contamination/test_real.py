"""Real benchmarks in real corpora: all of GSM8K's test questions where they are planted, none in its training set."""

import os
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from mixer.contamination import findings
from mixer.contamination.coverage import cover, decide, reachable
from mixer.contamination.index import IndexBuilder
from mixer.contamination.records import find_files, read_items
from mixer.contamination.settings import Benchmark, DecontaminateSettings
from mixer.contamination.units import find
from mixer.documents import large_strings
from mixer.text.normalise import normalise
from mixer.text.utf8 import buffers
from tests.contamination.twin import units
from tests.small import mixer

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif("MIXER_DATA" not in os.environ, reason="MIXER_DATA does not name the folder of real corpora"),
]
GSM8K = "${MIXER_DATA}/benchmarks/gsm8k_test.jsonl"
MGSM = "${MIXER_DATA}/benchmarks/mgsm_zh.jsonl"


@pytest.fixture(scope="module")
def built(tmp_path_factory, small_tokenizer):
    folder = tmp_path_factory.mktemp("real")
    source = {"domain": "math", "language": "en", "text": "{question}\n{answer}"}
    recipe = {
        "name": "real",
        "tokenizer": str(small_tokenizer),
        "mixture": {"almr": 0.01, "tokens": "max", "sequence_length": 128, "global_batch": 8, "valid_fraction": 0.01},
        "sources": [
            {"name": "train", "paths": ["${MIXER_DATA}/math/gsm8k_train.jsonl.zst"], **source},
            {
                "name": "solutions",
                "paths": ["${MIXER_DATA}/math/gsm8k_model_solutions.jsonl.gz"],
                **source,
                "text": "{question}\n{ground_truth}",
            },
            {"name": "zh", "paths": ["${MIXER_DATA}/math/ape210k_valid.jsonl.gz"], "domain": "math", "language": "zh"},
        ],
        "decontaminate": {"benchmarks": [{"name": "gsm8k", "paths": [GSM8K]}, {"name": "mgsm", "paths": [MGSM]}]},
    }
    recipe["sources"][2]["text"] = "original_text"
    (folder / "real.yaml").write_bytes(msgspec.yaml.encode(recipe))
    ran = mixer("build", folder / "real.yaml", "--out", folder / "out", "--workers", 2)
    assert ran.code == 0, ran.stderr
    return folder / "out"


def test_every_planted_question_is_found_and_no_training_question_is_flagged(built):
    gsm8k, mgsm = findings.read(built)
    assert (gsm8k.items, gsm8k.found, gsm8k.documents) == (1319, 1319, 1319)
    assert gsm8k.sources == {"solutions": 1319}
    assert gsm8k.lost == gsm8k.by_chance == 0
    assert (mgsm.items, mgsm.found, mgsm.by_chance) == (250, 0, 0)


def test_each_finding_names_the_very_question(built):
    rows = pq.read_table(built / "contamination/solutions/00000.parquet").to_pylist()
    own = [row for row in rows if row["item"] == f"gsm8k_test.jsonl record {row['record']:,}"]
    assert len({row["record"] for row in own}) == 1319
    assert all(row["coverage"] == 1 for row in own)
    assert all(" ".join(units(row["text"])) in " ".join(units(row["matched"])) for row in own)


def scanned(benchmark, texts):
    """Return what is found of a benchmark in some texts."""
    settings = DecontaminateSettings()
    builder = IndexBuilder(settings)
    builder.add(read_items(benchmark, find_files(benchmark, Path())))
    index = builder.index()
    row, gram = np.unique(np.stack(find(*normalise(*buffers(large_strings(texts))), index.lookup())), axis=1)
    nothing = np.empty(0, np.int32)
    found = cover(index, nothing, reachable(index, nothing), row.astype(np.int64), gram)
    return builder, decide(index, found, settings.coverage)[0]


def test_chinese_questions_are_found_in_chinese_and_their_originals_are_not(tmp_path):
    chinese, english = Benchmark(name="zh", paths=[MGSM]), Benchmark(name="en", paths=[GSM8K])
    texts = [item.text for item in read_items(chinese, find_files(chinese, tmp_path))]
    assert len(texts) == 250
    builder, found = scanned(chinese, [f"题目：{text.replace('。', '．').replace('，', ',')}答案" for text in texts])
    assert found.row.tolist() == found.item.tolist() == list(range(250))
    assert builder.counted[0].items == 250
    assert not len(scanned(english, texts)[1].row)


@pytest.mark.parametrize(
    ("file", "fields", "items"),
    [
        ("cmrc2018_dev.json.gz", [], 2208),
        ("drcd_test.json.gz", ["context"], 1000),
        ("agieval/sat-en.jsonl", [], 205),
        ("cmmlu_test.parquet", [], 10045),
        ("svamp.json", [], 1000),
        ("mt_bench_question.jsonl", [], 80),
        ("HumanEval.jsonl.gz", [], 163),
        ("math_test.jsonl.zst", [], 4801),
        ("fewclue/csl_test_public.json", ["abst"], 592),
    ],
)
def test_benchmarks_of_every_shape_are_read(file, fields, items):
    benchmark = Benchmark(name="any", paths=[f"${{MIXER_DATA}}/benchmarks/{file}"], fields=fields)
    builder = IndexBuilder(DecontaminateSettings())
    builder.add(read_items(benchmark, find_files(benchmark, Path())))
    assert builder.counted[0].items == items

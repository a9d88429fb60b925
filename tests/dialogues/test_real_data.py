"""Real files of instructions, dialogues and preferences: every record is kept or set aside, and answers are exact.

What should be learned is read here once more, without mixer: plain JSON and a few lines for each file.
"""

import gzip
import json
import os
import re
from pathlib import Path

import pytest
import zstandard

from mixer.dialogues.examples import Pairs
from mixer.dialogues.prepare import prepare
from mixer.dialogues.settings import LoadedTuning, check
from mixer.errors import InputError

pytestmark = pytest.mark.real_data

END = "<|eot_id|>"


@pytest.fixture(scope="module")
def corpora():
    if "MIXER_DATA" not in os.environ:
        pytest.skip("MIXER_DATA is not set")
    return Path(os.environ["MIXER_DATA"])


def records(path):
    """Read a file with nothing but the standard library and zstandard."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    text = data.decode()
    found = json.loads(text) if text[0] == "[" or path.name.startswith("crosswoz") else None
    if found is None:
        return [json.loads(line) for line in text.splitlines()]
    return list(found.values()) if isinstance(found, dict) else found


def alpaca(record):
    return [record["output"]]


def tigerbot(record):
    return [record["output"].split("### Response:")[-1]]


def seeds(record):
    (instance,) = record["instances"]
    return [instance["output"]]


def sharegpt(record):
    """Answers up to the last; two in a row are one. A question without words spoils the dialogue."""
    found = []
    for number, message in enumerate(record["conversations"]):
        if message["from"] == "human" and not message["value"].strip():
            return [""]
        if message["from"] in ("gpt", "function_call"):
            assert number, "no dialogue of these begins with an answer"
            found.append(message["value"])
    return found


def messages(record):
    texts = ["".join(part["value"] for part in message["content"]) for message in record["messages"]]
    return [text for message, text in zip(record["messages"], texts, strict=True) if message["loss_weight"]]


def crosswoz(record):
    return [message["content"] for message in record["messages"] if message["role"] == "sys"]


def kdconv(record):
    return [message["message"] for message in record["messages"][1::2]]


def mutual(record):
    """Turns of the one who says the right option, from the first question of the other one on."""
    said = record["options"]["ABCD".index(record["answers"])]
    whole = f"{record['article']} {said}"
    if whole[:3] not in ("m :", "f :"):
        return [""]
    turns = [(turn[0], turn[3:].strip()) for turn in re.split(r"\s(?=[mf] :)", whole.strip())]
    joined = []
    for speaker, text in turns:
        if joined and joined[-1][0] == speaker:
            joined[-1] = (speaker, f"{joined[-1][1]}\n{text}")
        else:
            joined.append((speaker, text))
    return [text for number, (speaker, text) in enumerate(joined) if speaker == said[0] and number]


SFT = {
    "alpaca_data_en_0_3252.json.gz": ("alpaca", alpaca, 3252),
    "alpaca_data_zh_0_3252.json.gz": ("alpaca", alpaca, 3247),
    "alpaca_data_zh_12345_15323.json.gz": ("alpaca", alpaca, 2978),
    "alpaca_seed_tasks.jsonl": ("seed_tasks", seeds, 175),
    "belle_zh_seed_tasks.jsonl": ("seed_tasks", seeds, 175),
    "crosswoz_val.json.gz": ("crosswoz", crosswoz, 500),
    "gpteacher_roleplay.json.gz": ("alpaca", alpaca, 3146),
    "kdconv_dev.jsonl.zst": ("kdconv", kdconv, 450),
    "lf_alpaca_en_demo.json.gz": ("alpaca", alpaca, 999),
    "lf_alpaca_zh_demo.json.gz": ("alpaca", alpaca, 1000),
    "lf_glaive_toolcall_en_demo.json.gz": ("sharegpt", sharegpt, 300),
    "lf_glaive_toolcall_zh_demo.json.gz": ("sharegpt", sharegpt, 300),
    "lf_identity.json": ("alpaca", alpaca, 91),
    "lf_v1_sft_demo.jsonl.gz": ("messages", messages, 500),
    "mutual_train.jsonl.zst": ("mutual", mutual, 7088),
    "sharegpt_zh_1K.jsonl.gz": ("sharegpt", sharegpt, 1000),
    "tigerbot_medical_qa_6000.jsonl.gz": ("tigerbot", tigerbot, 6000),
}
"""Format, what its records teach, and how many there are."""


def test_there_is_no_other_file(corpora):
    assert {path.name for path in (corpora / "sft").iterdir()} == set(SFT)


@pytest.fixture(scope="module")
def dialogues(corpora, vocabulary):
    sources = [{"name": name.split(".")[0], "paths": [name]} for name in SFT]
    settings = check({"sources": sources, "sequence_length": 1_000_000}, "DATA.yaml")
    return prepare(LoadedTuning(settings, corpora / "sft"), "dialogue", vocabulary)


@pytest.mark.parametrize("name", SFT)
def test_what_is_learned_are_the_answers(name, corpora, dialogues, decode):
    form, answers, count = SFT[name]
    number = list(SFT).index(name)
    tally = dialogues.tallies[number]
    found = records(corpora / "sft" / name)
    assert (tally.format, tally.unreadable) == (form, 0)
    assert len(found) == count == tally.kept + sum(tally.aside.values())
    wanted = [[text.strip() for text in answers(record)] for record in found]
    taught = ["".join(text + END for text in texts) for texts in wanted if texts and all(texts)]
    examples = dialogues.examples
    rows = (dialogues.source == number).nonzero()[0].tolist()
    learned = []
    for row in rows:
        part = slice(examples.offsets[row], examples.offsets[row + 1])
        learned.append(decode(examples.tokens[part][examples.learned[part]].tolist()))
    assert learned == taught
    assert tally.kept == len(taught)


def test_every_example_begins_and_ends_as_the_template_says(dialogues, decode, vocabulary):
    examples = dialogues.examples
    begin = vocabulary.specials["<|begin_of_text|>"]
    starts, ends = examples.offsets[:-1], examples.offsets[1:] - 1
    assert (examples.tokens[starts] == begin).all()
    assert (examples.tokens == begin).sum() == len(examples)
    assert (examples.tokens[ends] == vocabulary.specials[END]).all()
    assert examples.learned[ends].all()
    assert not examples.learned[starts].any()


DPO = {"lf_dpo_en_demo.json.gz": 300, "lf_dpo_zh_demo.json.gz": 300}


def test_preferences_are_exact(corpora, vocabulary, decode):
    sources = [{"name": name.split(".")[0], "paths": [name]} for name in DPO]
    settings = check({"sources": sources, "sequence_length": 1_000_000}, "DATA.yaml")
    data = prepare(LoadedTuning(settings, corpora / "dpo"), "preference", vocabulary)
    assert isinstance(data.examples, Pairs)
    wanted = [record for name in DPO for record in records(corpora / "dpo" / name)]
    assert len(data) == len(wanted) == sum(DPO.values())
    assert [tally.format for tally in data.tallies] == ["chosen", "chosen"]
    for side in ("chosen", "rejected"):
        examples = getattr(data.examples, side)
        for row, record in enumerate(wanted):
            part = slice(examples.offsets[row], examples.offsets[row + 1])
            tokens, learned = examples.tokens[part], examples.learned[part]
            assert decode(tokens[learned].tolist()) == record[side]["value"].strip() + END
            prompt = decode(tokens[~learned].tolist())
            said = [message["value"].strip() for message in record["conversations"]]
            assert re.sub(r"<\|start_header_id\|>\w+<\|end_header_id\|>\n\n", "", prompt) == (
                "<|begin_of_text|>" + "".join(text + END for text in said)
            )


def test_single_labels_are_no_preferences_and_bad_answers_not_learned(corpora, vocabulary):
    settings = check({"sources": [{"name": "kto", "paths": ["lf_kto_en_demo.json.gz"]}]}, "DATA.yaml")
    data = prepare(LoadedTuning(settings, corpora / "dpo"), "dialogue", vocabulary)
    found = records(corpora / "dpo" / "lf_kto_en_demo.json.gz")
    (tally,) = data.tallies
    assert tally.aside["bad_answer"] == sum(not record["label"] for record in found)
    assert tally.kept + sum(tally.aside.values()) == len(found) == 300


def test_prompts_without_answers_are_all_set_aside(corpora, vocabulary):
    source = {"name": "cvalues", "paths": ["cvalues_responsibility_prompts.jsonl"], "format": "cvalues"}
    settings = check({"sources": [source]}, "DATA.yaml")
    with pytest.raises(InputError, match="nothing to train on: 664 no_answer"):
        prepare(LoadedTuning(settings, corpora / "dpo"), "preference", vocabulary)

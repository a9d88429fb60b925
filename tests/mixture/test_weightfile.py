"""Files of weights: what tools write is read, everything else is refused with its position."""

import json

import pytest

from mixer.errors import RecipeError
from mixer.mixture.weightfile import read_weights

WEIGHTS = {"dolma": 0.6, "wan juan": 0.4, "gsm": 0.0}


@pytest.fixture
def file(tmp_path):
    def file(content, name="weights"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(WEIGHTS),
        "\ufeff" + json.dumps(WEIGHTS, indent=2),
        json.dumps({"train_domain_weights": WEIGHTS, "eval_domain_weights": {"dolma": 1}}),
        "source,weight\ndolma,0.6\nwan juan,0.4\ngsm,0\n",
        '\ufeffsource,weight\r\n"dolma",6e-1\r\n\r\nwan juan , 0.4\r\ngsm,0',
    ],
)
def test_both_kinds_are_read(file, content):
    assert read_weights(file(content)) == WEIGHTS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1', "is no JSON: .*line 1"),
        ("[0.5, 0.5]", "does not hold an object"),
        ('{"train_domain_weights": 3}', "does not hold an object"),
        ('{"a": 1, "b": 2, "a": 1}', "the source 'a' has two weights"),
        ('{"a": -0.5}', "the weight of 'a' is -0.5, not a finite number"),
        ('{"a": NaN}', "the weight of 'a' is nan"),
        ('{"a": Infinity}', "the weight of 'a' is inf"),
        ('{"a": true}', "the weight of 'a' is True"),
        ('{"a": null}', "the weight of 'a' is None"),
        ('{"a": {"b": 1}}', "the weight of 'a' is"),
        ("{}", "holds no weights"),
        ("", "line 1: the header is '', not source,weight"),
        ("domain,weight\na,1\n", "line 1: the header is 'domain,weight', not source,weight"),
        ("source,weight,loss\na,1,2\n", "line 1: the header is"),
        ("source,weight\n", "holds no weights"),
        ("source,weight\na,1\nb\n", "line 3: 1 columns, not 2"),
        ("source,weight\na,1\nb,half\n", "line 3: the weight of 'b' is 'half'"),
        ("source,weight\na,nan\n", "line 2: the weight of 'a' is 'nan'"),
        ("source,weight\na,-1\n", "line 2: the weight of 'a' is '-1'"),
        ("source,weight\na,1\na,1\n", "line 3: the source 'a' has two weights"),
        (b"source,weight\n\xff,1\n", "it is not UTF-8"),
    ],
)
def test_anything_else_is_refused_with_its_position(file, content, message):
    path = file(content)
    with pytest.raises(RecipeError, match=message) as refusal:
        read_weights(path)
    assert str(path) in refusal.value.message
    assert refusal.value.remedy
    assert refusal.value.exit_code == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"none.json cannot be read: No such file"):
        read_weights(tmp_path / "none.json")

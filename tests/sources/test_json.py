"""JSON Lines and JSON arrays, also against a slow scanner."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.sources import jsonarray
from mixer.sources.listing import InputFile
from mixer.sources.settings import SourceSettings
from mixer.sources.streams import Stream

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def scanned(data: bytes, size: int):
    """Run the compiled scanner over chunks, put records together, and return them with what is left open."""
    state = np.zeros(5, np.int64)
    records, parts = [], b""
    for start in range(0, len(data), size):
        chunk = data[start : start + size]
        starts, ends = np.empty(len(chunk) + 1, np.int64), np.empty(len(chunk) + 1, np.int64)
        begun, ended = jsonarray.scan(np.frombuffer(chunk, np.uint8), state, starts, ends)
        for first, last in zip(starts[:ended], ends[:ended], strict=True):
            records.append(parts + chunk[first:last])
            parts = b""
        if begun > ended:
            parts += chunk[starts[ended] :]
    return records, parts, [int(flag) for flag in state[[jsonarray.DEPTH, jsonarray.IN_ARRAY, jsonarray.IN_STRING]]]


def scan_slowly(data: bytes):
    """The twin: one character after the other, with a stack."""
    records, record, stack, in_array = [], None, [], False
    in_string = escaped = False
    for byte in data:
        sign = chr(byte)
        if in_string:
            record += sign
            in_string = escaped or sign != '"'
            escaped = not escaped and sign == "\\"
            continue
        if record is not None and not stack and sign in " \n\r\t,][{":
            records.append(record)
            record = None
        if record is None:
            if sign in " \n\r\t,":
                continue
            if sign == "]" and in_array:
                in_array = False
                continue
            if sign == "[" and not in_array:
                in_array = True
                continue
            record = ""
        record += sign
        if sign == '"':
            in_string = True
        elif sign in "[{":
            stack.append(sign)
        elif sign in "]}" and stack:
            stack.pop()
            if not stack:
                records.append(record)
                record = None
    open_now = [len(stack) + in_array, int(in_array), int(in_string)]
    return [text.encode("latin-1") for text in records], (record or "").encode("latin-1"), open_now


@given(values=st.lists(VALUES, max_size=6), indent=st.sampled_from([None, 0, 2]), size=st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_the_scanner_finds_every_value_of_an_array(values, indent, size):
    data = json.dumps(values, indent=indent, ensure_ascii=False).encode()
    records, rest, state = scanned(data, size)
    assert [json.loads(record) for record in records] == values
    assert (rest, state) == (b"", [0, 0, 0])


@given(data=st.text(st.sampled_from('[]{}",:\\ \na1'), max_size=60), size=st.integers(1, 60))
@settings(max_examples=300, deadline=None)
def test_the_scanner_equals_its_slow_twin_on_anything(data, size):
    assert scanned(data.encode(), size) == scan_slowly(data.encode())


def jsonl(*records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


RECORDS = [{"text": "one", "id": 1}, {"text": "二 \u2028 line", "id": "b"}, {"text": "", "id": None}, {"text": "four"}]
EXPECTED = [("f", 0, "one", "1"), ("f", 1, "二 \u2028 line", "b"), ("f", 2, "", None), ("f", 3, "four", None)]


@pytest.mark.parametrize(
    "content",
    [
        jsonl(*RECORDS),
        jsonl(*RECORDS).rstrip("\n"),
        jsonl(*RECORDS).replace("\n", "\r\n"),
        "\n  \n" + jsonl(*RECORDS).replace("\n", "\n\n"),
        "\ufeff" + jsonl(*RECORDS),
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2, ensure_ascii=False),
        "\ufeff \n" + json.dumps(RECORDS),
        "".join(json.dumps(record, indent=1) + "\n" for record in RECORDS),
        json.dumps(RECORDS[:2]) + "\n" + json.dumps(RECORDS[2:]),
        json.dumps(RECORDS)[:-1] + ",]",
    ],
    ids=[
        "lines",
        "no-last-break",
        "crlf",
        "blank-lines",
        "bom",
        "array",
        "indented",
        "bom-array",
        "objects",
        "arrays",
        "comma",
    ],
)
@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "gz"])
def test_every_shape_of_json(corpus, content, pack):
    corpus.write("f", pack(content.encode()))
    assert corpus.documents("f", metadata=["id"]) == EXPECTED
    assert corpus.rejected == []


def test_text_rules(corpus):
    corpus.write("f", jsonl({"q": "1+1?", "a": {"b": "2"}, "lines": ["x", "y"], "a.c": "dotted key", "none": []}))
    assert corpus.texts("f", text="q") == ["1+1?"]
    assert corpus.texts("f", text="a.b") == ["2"]
    assert corpus.texts("f", text="a.c") == ["dotted key"]
    assert corpus.texts("f", text="lines") == ["x\ny"]
    assert corpus.texts("f", text="none") == [""]
    assert corpus.texts("f", text="{q}\n{lines}") == ["1+1?\nx\ny"]
    assert corpus.texts("f", text="{{{q}}} {a.b}") == ["{1+1?} 2"]
    assert corpus.rejected == []


def test_metadata_becomes_text(corpus):
    values = {"i": 1, "big": 10**25, "f": 1.5, "t": True, "o": {"a": [1, "二"]}, "s": "x", "n": None, "d": {"e": 7}}
    corpus.write("f", jsonl({"text": "a", **values}))
    fields = [*values, "d.e", "nowhere"]
    expected = ["1", "1" + "0" * 25, "1.5", "true", '{"a":[1,"二"]}', "x", None, '{"e":7}', "7", None]
    assert list(corpus.documents("f", metadata=fields)[0][3:]) == expected
    plain = [*values]
    assert list(corpus.documents("f", metadata=plain)[0][3:]) == expected[: len(plain)]


def test_a_field_may_be_text_and_metadata(corpus):
    corpus.write("f", jsonl({"text": "a"}, {"text": ["b", "c"]}))
    assert [document[2:] for document in corpus.documents("f", metadata=["text"])] == [
        ("a", "a"),
        ("b\nc", '["b","c"]'),
    ]


BAD = {
    b'{"text": "a"': "no valid JSON",
    b"not json": "no valid JSON",
    b'{"text": "a\xff"}': "invalid UTF-8",
    b'{"text": "a", "other": "\xe4\xb8"}': "invalid UTF-8",
    b'{"text": "a\\u0000b"}': "NUL character",
    b'{"text": "\\ud800"}': "half a surrogate pair",
    b'{"text": ["a", "\\udc00"]}': "half a surrogate pair",
    b'{"text": null}': "`text` is null, not text",
    b'{"text": 3}': "`text` is a number, not text",
    b'{"text": {"a": 1}}': "`text` is an object, not text",
    b'{"text": ["a", 1]}': "item 1 of `text` is a number, not text",
    b'{"other": 3}': "no field `text`",
    b"[1, 2]": "no JSON object",
    b"7": "no JSON object",
    b'{"text": "a"} {"text": "b"}': "no valid JSON",
    b'{"text": "tab\there"}': "no valid JSON",
    b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}": "nested too deeply",
}


@pytest.mark.parametrize(("line", "cause"), BAD.items(), ids=[str(n) for n in range(len(BAD))])
@pytest.mark.parametrize(
    "settings_", [{}, {"metadata": ["a.b"]}, {"text": "{text}"}], ids=["fast", "dotted", "template"]
)
def test_a_bad_line_costs_itself_alone(corpus, line, cause, settings_):
    corpus.write("f.jsonl", b'{"text": "before"}\n\n' + line + b'\n{"text": "after"}\n')
    assert [document[:3] for document in corpus.documents(**settings_)] == [
        ("f.jsonl", 0, "before"),
        ("f.jsonl", 2, "after"),
    ]
    [(file, position, found)] = corpus.rejected
    assert (file, position) == ("f.jsonl", "line 3")
    assert cause in found


def test_a_bad_first_line_does_not_hide_the_format(corpus):
    for bad in ("bad", '{"text": "cut off",', '{"text": "cut off', "{", "[1]"):
        for name in ("f.jsonl", "f.json", "f"):
            corpus.write(name, bad + '\n{"text": "a"}\n')
            assert corpus.texts(name) == ["a"]
            assert [entry[1] for entry in corpus.rejected] in (["line 1"], ["record 0"])


def test_what_only_pythons_reader_takes(corpus):
    corpus.write(
        "f.jsonl", b'{"text": "a", "m": NaN}\n{"text": "b", "m": -Infinity}\n{"text": "c", "m": "x", "n": "\\ud800"}\n'
    )
    assert [document[2:] for document in corpus.documents(metadata=["m"])] == [("a", "nan"), ("b", "-inf"), ("c", "x")]
    corpus.texts(metadata=["n"])
    assert [entry[1:] for entry in corpus.rejected] == [
        ("line 3", "metadata holds half a surrogate pair (character 0)")
    ]


@pytest.mark.parametrize(
    ("record", "cause"),
    [(b'{"text": "a\xff"}', "invalid UTF-8"), (b'{"text" "a"}', "no valid JSON"), (b"null", "no JSON object")],
)
def test_a_bad_record_of_an_array_costs_itself_alone(corpus, record, cause):
    corpus.write("f.json", b'[{"text": "before"}, ' + record + b', {"text": "after"}]')
    assert corpus.documents() == [("f.json", 0, "before"), ("f.json", 2, "after")]
    [(file, position, found)] = corpus.rejected
    assert (file, position) == ("f.json", "record 1")
    assert cause in found


def test_position_and_order_do_not_depend_on_chunks(corpus, monkeypatch):
    lines = [b'{"text": "%d"}' % n if n % 3 else (b"bad", b'{"text": "\\u0000"}')[n % 2] for n in range(100)]
    corpus.write("f.jsonl", b"\n".join(lines))
    corpus.write("g.json", b"[" + b",".join(b"{}" if line == b"bad" else line for line in lines) + b"]")
    expected = corpus.documents(), corpus.rejected
    assert [entry[1] for entry in expected[1] if entry[0] == "f.jsonl"] == [f"line {n + 1}" for n in range(0, 100, 3)]
    for size in (1, 7, 100):
        monkeypatch.setattr("mixer.sources.streams.CHUNK", size)
        monkeypatch.setattr("mixer.sources.streams.HEAD", size + 5)
        assert (corpus.documents(format="jsonl"), corpus.rejected) == expected


@pytest.mark.parametrize("name", ["f.jsonl", "f.json"])
def test_a_long_record_is_read_in_linear_time(corpus, monkeypatch, name):
    monkeypatch.setattr("mixer.sources.streams.CHUNK", 1 << 12)
    text = "长" * (4 << 20)  # three thousand chunks: quadratic work would be 18 GB
    content = jsonl({"text": text}, {"text": "b"}) if name == "f.jsonl" else json.dumps([{"text": text}, {"text": "b"}])
    corpus.write(name, content)
    assert corpus.texts() == [text, "b"]


def test_memory_of_an_array_is_bounded(corpus):
    corpus.write("f.json", json.dumps([{"text": "x" * 1000, "n": n} for n in range(8000)]))
    path = corpus.folder / "f.json"
    source = SourceSettings(name="corpus", paths=["f.json"])
    with Stream(InputFile(str(path), "f.json", 0, ""), source, lambda *_: None) as stream:
        sizes = [rows.texts.nbytes for rows in jsonarray.read(stream)]
    assert len(sizes) >= 8
    assert max(sizes) < 2 << 20

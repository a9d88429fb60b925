import gzip
import hashlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mixer.documents import make_batch
from mixer.errors import InputError, RecipeError
from mixer.filters.attached import attach
from mixer.filters.blocklists import BlockList, LoadedList, block


def loaded(folder, kind, *entries, **options):
    path = folder / f"{kind}.txt"
    path.write_text("".join(f"{entry}\n" for entry in entries), "utf-8")
    return LoadedList(BlockList(kind=kind, file=path.name, **options), attach(path.name, folder, "test"))


def matches(listed, *values):
    return listed.matches(pa.array(values, pa.string())).tolist()


def test_domains_block_everything_below_them(tmp_path):
    listed = loaded(tmp_path, "domain", "# spam", "", "bad.example", "Ads.Worse.example", "xn--fiqs8s")
    blocked = [
        "http://bad.example/x", "https://www.BAD.example:8080/", "bad.example", "//a.b.c.bad.example?q=bad",
        "ftp://user:secret@bad.example", "https://ads.worse.example", "https://bad.example./x", "http://a.xn--fiqs8s/",
    ]  # fmt: skip
    passed = [
        "http://notbad.example", "http://bad.example.org", "http://worse.example", "http://good.example/bad.example",
        "http://good.example/?u=http://bad.example", "", None, "not a url",
    ]  # fmt: skip
    assert matches(listed, *blocked) == [True] * len(blocked)
    assert matches(listed, *passed) == [False] * len(passed)


def test_domains_as_lists_write_them(tmp_path):
    listed = loaded(
        tmp_path,
        "domain",
        "*.star.example",
        ".dot.example",
        "note.example # why",
        "\t例子.中国 ",
        "xn--bcher-kva.example",
    )
    blocked = [
        "http://a.star.example", "http://star.example", "dot.example", "x.dot.example", "http://note.example/",
        "http://www.例子.中国/页", "http://xn--fsqu00a.xn--fiqs8s", "http://Bücher.example",
    ]  # fmt: skip
    passed = [
        "http://ステラ.example",
        "http://" + "ü" * 300,
        "http://" + "a." * 50_000 + "other.example",
        "http://ü..x",
    ]
    assert matches(listed, *blocked, *passed) == [True] * len(blocked) + [False] * len(passed)


@pytest.mark.parametrize("entry", ["0.0.0.0 ads.example", "||ads.example^", "*", "ads.*"])
def test_what_is_no_domain_is_refused(tmp_path, entry):
    with pytest.raises(InputError, match=r"entry 2, .*, is no domain"):
        loaded(tmp_path, "domain", "good.example", entry)


def test_urls_are_compared_without_what_does_not_matter(tmp_path):
    listed = loaded(tmp_path, "url", "https://Site.example/Page/", "http://site.example/find?q=1")
    blocked = ["http://site.example/Page", "//SITE.example:443/Page/#part", "site.example/find?q=1"]
    passed = ["http://site.example/page", "http://site.example/Page/more", "http://site.example/find?q=2", None, "x"]
    assert matches(listed, *blocked, *passed) == [True] * 3 + [False] * 5


def test_ids_are_compared_exactly(tmp_path):
    assert matches(loaded(tmp_path, "id", "a1", "二"), "a1", "A1", "二", "", None) == [True, False, True, False, False]


@pytest.mark.parametrize("function", ["sha256", "sha1", "md5"])
def test_texts_are_compared_by_the_hash_of_their_bytes(tmp_path, function):
    texts = ["取り下げ", "take me down\n", "keep me"]
    entries = [getattr(hashlib, function)(text.encode()).hexdigest().upper() for text in texts[:2]]
    listed = loaded(tmp_path, "text", *entries)
    batch = block(make_batch(["f"] * 3, range(3), texts), [listed])
    assert batch["reason"].to_pylist() == ["blocklist.text", "blocklist.text", None]


def test_lists_are_asked_in_order_and_only_where_their_field_is(tmp_path):
    batch = make_batch(
        ["f"] * 3, range(3), ["a", "b", "c"], {"url": ["http://bad.example", None, "x"], "key": ["", "7", "8"]}
    )
    lists = [
        loaded(tmp_path, "domain", "bad.example"),
        loaded(tmp_path, "id", "7", field="key"),
        loaded(tmp_path, "url", "x", field="address"),
    ]
    assert block(batch, lists)["reason"].to_pylist() == ["blocklist.domain", "blocklist.id", None]


def test_gzip_and_an_empty_list_work(tmp_path):
    (tmp_path / "list.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfa\r\nb\r\n"))
    listed = LoadedList(BlockList(kind="id", file="list.gz"), attach("list.gz", tmp_path, "test"))
    assert matches(listed, "a", "b", "c") == [True, True, False]
    assert matches(loaded(tmp_path, "id"), "a", None) == [False, False]


def test_what_is_no_list_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"entry 2, 'abc'"):
        loaded(tmp_path, "text", "0" * 64, "abc")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match=r"latin\.txt"):
        LoadedList(BlockList(kind="id", file="latin.txt"), attach("latin.txt", tmp_path, "test"))
    broken = bytearray(gzip.compress(b"one entry\n" * 1000))
    broken[12:20] = b"\xff" * 8
    (tmp_path / "broken.gz").write_bytes(broken)
    with pytest.raises(InputError, match=r"broken\.gz"):
        LoadedList(BlockList(kind="id", file="broken.gz"), attach("broken.gz", tmp_path, "test"))
    with pytest.raises(RecipeError, match=r"blocklists\[0\]\.file: .*gone\.txt: No such file"):
        attach("gone.txt", tmp_path, "blocklists[0].file")
    with pytest.raises(ValidationError, match="takes no field"):
        BlockList(kind="text", file="x", field="text")


names = st.text("ab.", min_size=1, max_size=6)


@settings(deadline=None)
@given(
    st.lists(names.filter(lambda name: name.strip(".")), max_size=4), st.lists(st.one_of(st.none(), names), max_size=6)
)
def test_domains_agree_with_their_definition(tmp_path_factory, entries, hosts):
    def blocked(host):
        labels = (host or "").rstrip(".").split(".")
        tails = {".".join(labels[start:]) for start in range(len(labels))} - {""}
        return bool(tails & {entry.strip(".") for entry in entries})

    listed = loaded(tmp_path_factory.mktemp("lists"), "domain", *entries)
    assert matches(listed, *hosts) == [blocked(host) for host in hosts]

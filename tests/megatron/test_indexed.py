"""Dataset files: written in pieces, joined from shards, and every way of being damaged found and named.

That they equal Megatron's own is in ``test_megatron_core.py``.
"""

import struct
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.engine.outputs import Outputs
from mixer.errors import BrokenPromiseError
from mixer.megatron import indexed
from mixer.megatron.indexed import Shard, join, read_index, token_dtype, write_index

INT32, UINT16 = np.dtype("<i4"), np.dtype("<u2")


class Sink:
    """A file that cannot seek."""

    def __init__(self):
        self.content = b""

    def write(self, data):
        self.content += bytes(data)
        return len(data)


def twin(lengths, dtype):
    """Write an index the slow way."""
    out = b"MMIDIDX\0\0" + struct.pack(
        "<QBQQ", 1, {"int32": 4, "uint16": 8}[dtype.name], len(lengths), len(lengths) + 1
    )
    out += b"".join(struct.pack("<i", length) for length in lengths)
    pointer = 0
    for length in lengths:
        out += struct.pack("<q", pointer)
        pointer += length * dtype.itemsize
    return out + b"".join(struct.pack("<q", number) for number in range(len(lengths) + 1))


def pieces(lengths, cuts):
    return np.split(np.array(lengths, np.int32), sorted(cut % (len(lengths) + 1) for cut in cuts))


def make(tmp_path, lengths, dtype=INT32):
    """Write a prefix with ids 1, 2, 3, ..."""
    prefix = tmp_path / "one"
    prefix.with_suffix(".bin").write_bytes(np.arange(sum(lengths)).astype(dtype).tobytes())
    prefix.with_suffix(".idx").write_bytes(twin(lengths, dtype))
    return prefix


def shards_of(tmp_path, parts, dtype=INT32):
    made = []
    for number, part in enumerate(parts):
        shard = Shard(tmp_path / f"{number}.bin", tmp_path / f"{number}.lengths.npy")
        shard.bin.write_bytes(np.full(int(part.sum()), number).astype(dtype).tobytes())
        np.save(shard.lengths, part.astype(np.int32))
        made.append(shard)
    return made


@pytest.mark.parametrize(
    ("size", "dtype"), [(1, "u2"), (65_499, "u2"), (65_500, "i4"), (65_536, "i4"), (128_256, "i4")]
)
def test_small_vocabularies_take_two_bytes(size, dtype):
    assert token_dtype(size) == np.dtype(dtype)


@given(
    lengths=st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 99), max_size=5),
    dtype=st.sampled_from([INT32, UINT16]),
)
def test_an_index_is_the_same_for_any_pieces(lengths, cuts, dtype):
    file = Sink()
    index = write_index(file, pieces(lengths, cuts), dtype)
    assert file.content == twin(lengths, dtype)
    assert (index.documents, index.tokens, index.dtype) == (len(lengths), sum(lengths), dtype)


def test_lengths_of_any_integer_type_are_taken():
    contents = []
    for kind in (np.int32, np.int64, np.uint16):
        file = Sink()
        write_index(file, [np.array([5, 7], kind)], UINT16)
        contents.append(file.content)
    assert len(set(contents)) == 1


@pytest.mark.parametrize(
    "lengths", [[], [np.empty(0, np.int32)], [np.array([3, 0])], [np.array([-1])], [np.array([2**31])]]
)
def test_what_megatron_cannot_hold_is_refused(lengths):
    with pytest.raises(ValueError, match="must have between 1"):
        write_index(Sink(), lengths, INT32)


def test_a_generator_of_lengths_is_refused():
    with pytest.raises(ValueError, match="three times"):
        write_index(Sink(), (np.array([n]) for n in (1, 2)), INT32)


def test_document_numbers_are_written_in_pieces(monkeypatch):
    monkeypatch.setattr(indexed, "PIECE_DOCUMENTS", 3)
    for count in (1, 2, 3, 4, 6, 7):
        file = Sink()
        write_index(file, [np.full(count, 2)], INT32)
        assert file.content == twin([2] * count, INT32)


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 99), max_size=5),
    dtype=st.sampled_from([INT32, UINT16]),
)
def test_shards_become_one_prefix(tmp_path_factory, lengths, cuts, dtype):
    tmp_path = tmp_path_factory.mktemp("join")
    shards = shards_of(tmp_path, pieces(lengths, cuts), dtype)
    outputs = Outputs(tmp_path / "out")
    with outputs.open("a.bin") as bin_file, outputs.open("a.idx") as idx_file:
        index = join(shards, bin_file, idx_file, dtype)
    assert (tmp_path / "out/a.bin").read_bytes() == b"".join(shard.bin.read_bytes() for shard in shards)
    assert (tmp_path / "out/a.idx").read_bytes() == twin(lengths, dtype)
    found = read_index(tmp_path / "out/a")
    assert (found.documents, found.tokens, found.dtype) == (index.documents, index.tokens, index.dtype)


def test_ids_are_copied_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(indexed, "PIECE_BYTES", 7)
    shards = shards_of(tmp_path, [np.array([5, 6]), np.array([9])])
    sink = Sink()
    join(shards, sink, Sink(), INT32)
    assert sink.content == b"".join(shard.bin.read_bytes() for shard in shards)


@pytest.mark.parametrize("change", [-1, 4])
def test_a_shard_of_the_wrong_size_is_named(tmp_path, change):
    shards = shards_of(tmp_path, [np.array([5, 6]), np.array([9])])
    content = shards[1].bin.read_bytes()
    shards[1].bin.write_bytes(content[:change] if change < 0 else content + bytes(change))
    with pytest.raises(BrokenPromiseError, match=r"1\.bin has"):
        join(shards, Sink(), Sink(), INT32)


def test_a_shard_must_have_its_hash(tmp_path):
    first, second = shards_of(tmp_path, [np.array([5, 6]), np.array([9])])
    hashed = [replace(shard, xxh64=xxhash.xxh64_hexdigest(shard.bin.read_bytes())) for shard in (first, second)]
    join(hashed, Sink(), Sink(), INT32)
    second.bin.write_bytes(second.bin.read_bytes()[:-1] + b"\xff")
    join([first, second], Sink(), Sink(), INT32)  # without a hash it is taken as it is
    with pytest.raises(BrokenPromiseError, match=r"1\.bin has been changed"):
        join(hashed, Sink(), Sink(), INT32)


def test_memory_depends_on_neither_the_number_nor_the_size_of_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(indexed, "PIECE_DOCUMENTS", 50_000)
    monkeypatch.setattr(indexed, "PIECE_BYTES", 50_000)

    class Null:
        def write(self, data):
            return len(data)

    def peak(count, documents=150_000):
        shards = shards_of(tmp_path, [np.ones(documents, np.int32)] * count, UINT16)
        tracemalloc.start()
        join(shards, Null(), Null(), UINT16)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(1)
    few = peak(2)
    assert peak(16) < 1.1 * few
    assert peak(2, 1_200_000) < 1.1 * few


@pytest.mark.parametrize("damage", ["cut off", "no header", "int64"])
def test_damaged_lengths_are_named(tmp_path, damage):
    (shard,) = shards_of(tmp_path, [np.array([5, 6])])
    content = shard.lengths.read_bytes()
    if damage == "int64":
        np.save(shard.lengths, np.array([5, 6]))
    else:
        shard.lengths.write_bytes(content[:-2] if damage == "cut off" else content[1:])
    with pytest.raises(BrokenPromiseError, match=r"0\.lengths\.npy does not hold the lengths"):
        join([shard], Sink(), Sink(), INT32)


def test_an_index_is_read(tmp_path, monkeypatch):
    lengths = [3, 1, 4, 1, 5, 9, 2, 6]
    prefix = make(tmp_path, lengths, UINT16)
    for documents in (1, 3, 8, 100):
        monkeypatch.setattr(indexed, "PIECE_DOCUMENTS", documents)
        index = read_index(prefix)
        assert (index.documents, index.tokens, index.dtype) == (8, 31, UINT16)
        assert index.lengths.tolist() == lengths
        assert index.ends(2, 5).tolist() == [8, 9, 14]


def patched(offset, kind, value):
    def patch(content):
        return content[:offset] + struct.pack(kind, value) + content[offset + struct.calcsize(kind) :]

    return patch


# Four documents: lengths at 34, pointers at 50, document indices at 82.
@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda content: b"", "is empty"),
        (lambda content: content[:20], "too few for a header"),
        (lambda content: b"X" + content[1:], "does not begin"),
        (patched(9, "<Q", 2), "does not begin"),
        (patched(17, "<B", 5), "type 5"),
        (patched(18, "<Q", 5), "counts 5 documents"),
        (patched(18, "<Q", 0), "counts 0 documents"),
        (patched(26, "<Q", 4), "counts 4 documents and 4"),
        (lambda content: content[:-1], "take another number"),
        (lambda content: content + b"\0", "take another number"),
        (patched(34, "<i", 6), "document 1 does not begin"),
        (patched(38, "<i", 0), "document 1 is empty"),
        (patched(42, "<i", -3), "document 2 is empty"),
        (patched(50, "<q", 4), "document 0 does not begin"),
        (patched(66, "<q", 0), "document 2 does not begin"),
        (patched(90, "<q", 3), "document 1 is numbered wrongly"),
        (patched(114, "<q", 5), "does not end its documents"),
    ],
)
def test_a_damaged_index_is_named(tmp_path, damage, match, monkeypatch):
    prefix = make(tmp_path, [5, 6, 7, 8])
    path = prefix.with_suffix(".idx")
    path.write_bytes(damage(path.read_bytes()))
    for documents in (1, 1000):
        monkeypatch.setattr(indexed, "PIECE_DOCUMENTS", documents)
        with pytest.raises(BrokenPromiseError, match=match) as caught:
            read_index(prefix)
        assert str(path) in caught.value.message


def test_a_longer_last_document_shows_in_the_size(tmp_path):
    prefix = make(tmp_path, [5, 6, 7, 8])
    path = prefix.with_suffix(".idx")
    path.write_bytes(patched(46, "<i", 9)(path.read_bytes()))
    with pytest.raises(BrokenPromiseError, match=r"one\.bin has 104 bytes, but its \.idx says 108"):
        read_index(prefix)


@pytest.mark.parametrize("suffix", [".bin", ".idx"])
def test_a_missing_file_is_named(tmp_path, suffix):
    prefix = make(tmp_path, [5])
    prefix.with_suffix(suffix).unlink()
    with pytest.raises(BrokenPromiseError, match=rf"one\{suffix} is missing"):
        read_index(prefix)


@settings(deadline=None)
@given(position=st.integers(0), value=st.integers(0, 255))
def test_no_flipped_byte_of_an_index_goes_unseen(tmp_path_factory, position, value):
    tmp_path = tmp_path_factory.mktemp("flip")
    prefix = make(tmp_path, [5, 6, 7, 8])
    path = prefix.with_suffix(".idx")
    content = bytearray(path.read_bytes())
    if content[position % len(content)] == value:
        return
    content[position % len(content)] = value
    path.write_bytes(content)
    with pytest.raises(BrokenPromiseError):
        read_index(prefix)

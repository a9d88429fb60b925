import bz2
import gzip
import lzma
import struct

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.sources.decompress import STEP, CorruptError, TruncatedError, decompressed, sniff_compression

COMPRESS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
CODECS = sorted(COMPRESS)


def pieces(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("codec", CODECS)
def test_sniffed(codec):
    assert sniff_compression(COMPRESS[codec](b"x")) == codec
    assert sniff_compression(b'{"a": 1}') is None
    assert sniff_compression(b"") is None


@given(parts=st.lists(st.binary(max_size=300), max_size=4), size=st.integers(1, 80), codec=st.sampled_from(CODECS))
@settings(max_examples=60, deadline=None)
def test_members_in_a_row_come_out_whole(parts, size, codec):
    packed = b"".join(COMPRESS[codec](part) for part in parts)
    assert b"".join(decompressed(pieces(packed, size), codec)) == b"".join(parts)


@given(data=st.binary(min_size=1, max_size=2000), cut=st.floats(0, 1, exclude_max=True), codec=st.sampled_from(CODECS))
@settings(max_examples=60, deadline=None)
def test_every_cut_is_told(data, cut, codec):
    packed = COMPRESS[codec](data) + COMPRESS[codec](b"second")
    end = max(1, int(len(packed) * cut))
    whole = len(COMPRESS[codec](data))
    found = []
    if end == whole:
        assert b"".join(decompressed([packed[:end]], codec)) == data
        return
    with pytest.raises(TruncatedError, match="byte"):
        found.extend(decompressed([packed[:end]], codec))
    assert (data + b"second").startswith(b"".join(found))


@pytest.mark.parametrize("codec", CODECS)
def test_what_can_be_read_before_a_cut_is_handed_out(codec):
    data = b"".join(b"%d\n" % number for number in range(600_000))
    packed = COMPRESS[codec](data)
    found = []
    with pytest.raises(TruncatedError):
        found.extend(decompressed(pieces(packed[: len(packed) * 2 // 3], 1000), codec))
    assert len(b"".join(found)) > len(data) * 0.3
    assert data.startswith(b"".join(found))


@pytest.mark.parametrize("codec", CODECS)
def test_damage_is_told_from_a_cut(codec):
    packed = bytearray(COMPRESS[codec](bytes(range(256)) * 100))
    packed[len(packed) // 2] ^= 0xFF
    packed[-6] ^= 0xFF
    with pytest.raises((CorruptError, TruncatedError)):
        list(decompressed([bytes(packed)], codec))
    with pytest.raises(CorruptError, match="byte"):
        list(decompressed([COMPRESS[codec](b"a"), b"garbage after the end"], codec))


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_steps_are_bounded(codec):
    packed = COMPRESS[codec](bytes(64 << 20))
    sizes = [len(piece) for piece in decompressed([packed], codec)]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= (STEP if codec == "gzip" else 48 << 20)


def test_padding_and_skippable_frames():
    assert b"".join(decompressed([gzip.compress(b"a") + bytes(100), bytes(50), gzip.compress(b"b")], "gzip")) == b"ab"
    skippable = struct.pack("<II", 0x184D2A50, 4) + b"meta"
    data = skippable + COMPRESS["zstd"](b"a")
    assert sniff_compression(data) == "zstd"
    assert b"".join(decompressed([data], "zstd")) == b"a"

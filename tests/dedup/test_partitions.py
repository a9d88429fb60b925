"""The kernels between fingerprints and candidates, beside slow twins and another library's components."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mixer.dedup import sections as sections_module
from mixer.dedup.buckets import pack, sort_keys, stars
from mixer.dedup.contested import join_alike
from mixer.dedup.fingerprint import Fingerprints
from mixer.dedup.forest import CONTESTED, Forest
from mixer.dedup.keys import keys_of, lowest_key, scatter
from mixer.dedup.minhash import band_keys, differences, sketches
from mixer.dedup.sections import SectionWriter, fixed, matrix, read_section
from mixer.dedup.settings import DedupSettings, MinhashSettings
from mixer.engine.outputs import Outputs

KEYS = st.one_of(st.sampled_from([0, 5, 2**32, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))
PARTITIONS = st.sampled_from([1, 2, 3, 7, 16, 1000, 65_535])


def components(count, pairs):
    """The lowest of each one's component, by SciPy."""
    ones, twos = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(ones)), (ones, twos)), (count, count))
    labels = connected_components(graph, directed=False)[1]
    return [int(np.flatnonzero(labels == label)[0]) for label in labels]


@given(st.lists(st.lists(KEYS, min_size=3, max_size=3), max_size=40), PARTITIONS)
@settings(deadline=None)
def test_scatter_sorts_by_partition_and_keeps_order(keys, partitions):
    rows = np.arange(len(keys), dtype=np.uint32) * 2
    by_partition, of_rows, bounds = scatter(np.array(keys, np.uint64).reshape(-1, 3), rows, partitions)
    expected = sorted(
        ((((key >> 32) * partitions) >> 32, place, key, 2 * row)
         for place, (row, key) in enumerate((row, key) for row, own in enumerate(keys) for key in own)),
        key=lambda entry: entry[:2],
    )  # fmt: skip
    assert by_partition.tolist() == [key for _, _, key, _ in expected]
    assert of_rows.tolist() == [row for *_, row in expected]
    assert np.repeat(np.arange(partitions), np.diff(bounds)).tolist() == [where for where, *_ in expected]
    for where, _, key, _ in expected:
        assert lowest_key(where, partitions) <= key < max(lowest_key(where + 1, partitions), 1)


@given(st.lists(KEYS, max_size=40), PARTITIONS)
@settings(deadline=None)
def test_a_bucket_is_a_star_around_its_lowest_document(keys, partitions):
    """All documents of equal keys hang together; those of others do too only if their keys begin alike."""
    by_partition, of_rows, bounds = scatter(
        np.array(keys, np.uint64).reshape(-1, 1), np.arange(len(keys), dtype=np.uint32), partitions
    )
    for partition in np.flatnonzero(np.diff(bounds)).tolist():
        own = slice(bounds[partition], bounds[partition + 1])
        packed, rows = by_partition[own].copy(), of_rows[own].astype(np.int64) + 10
        bits = sort_keys(packed, partition, partitions)
        low, high = stars(packed, bits, rows)
        buckets = defaultdict(list)
        for row in (rows - 10).tolist():
            shift = partitions.bit_length() - 1
            buckets[(keys[row] - lowest_key(partition, partitions)) << shift >> int(bits)].append(row + 10)
        expected = {(min(bucket), row) for bucket in buckets.values() for row in bucket if row != min(bucket)}
        assert set(zip(low.tolist(), high.tolist(), strict=True)) == expected
        assert len(low) == len(expected)
        roots = {frozenset(bucket) for bucket in buckets.values()}
        for one in rows.tolist():
            assert all(
                keys[one - 10] != keys[two - 10] or {one, two} <= next(b for b in roots if one in b) for two in rows
            )


def test_packing_keeps_high_bits():
    keys = np.array([2**63 + 7 * 2**40, 2**63 + 2**40, 2**63], np.uint64)
    pack(keys, np.uint64(2**63), np.uint64(1), np.uint64(3))
    assert keys.tolist() == [7 * 2**41, 2**41 + 1, 2]


EDGES = st.lists(st.tuples(st.integers(0, 199), st.integers(0, 199)), max_size=60)


@given(EDGES, st.integers(1, 5), st.integers(1, 12), st.lists(st.integers(0, 200), max_size=4))
@settings(deadline=None)
def test_the_forest_is_scipys(pairs, parts, most, cuts):
    pairs = [(one, two) for one, two in pairs if one != two]
    forest = Forest(200)
    halves = [np.array(half, np.int64).reshape(-1, 2).T for half in (pairs[::2], pairs[1::2])]
    for ones, twos in halves:
        forest.meet(np.ascontiguousarray(ones), np.ascontiguousarray(twos))
    forest.seal()
    for ones, twos in halves:
        forest.join(np.ascontiguousarray(ones), np.ascontiguousarray(twos))
    met = sorted({row for pair in pairs for row in pair})
    assert len(forest) == len(met)
    found = forest.share_out(parts, most)
    lowest = components(200, pairs)
    sizes = {root: lowest.count(root) for root in set(lowest)}
    shared = sum(sizes[lowest[row]] <= most for row in met)
    each, before, expected = max(1, -(-shared // parts)), 0, {}
    for root in sorted({lowest[row] for row in met}):
        expected[root] = CONTESTED if sizes[root] > most else before // each
        before += sizes[root] if sizes[root] <= most else 0
    assert found.tolist() == [expected[lowest[row]] for row in met]
    assert all(part < parts or part == CONTESTED for part in found.tolist())
    bounds = [0, *sorted(cuts), 200]
    for first, last in pairwise(bounds):
        rows, ranks = forest.members(first, last)
        assert rows.tolist() == [row for row in met if first <= row < last]
        assert [met[rank] for rank in range(ranks.start, ranks.stop)] == rows.tolist()


def test_a_long_chain_is_one_component():
    """A path of a million documents, edges from its end: no recursion, and no depth."""
    count = 1_000_000
    rows = np.arange(count - 1, 0, -1)
    forest = Forest(count)
    forest.meet(rows - 1, rows)
    forest.seal()
    forest.join(rows - 1, rows)
    assert (forest.share_out(3, count) == 0).all()


def two_bits(value):
    return (value * 0x9E3779B1 & 0xFFFFFFFF) >> 30


@given(
    arrays(
        np.uint32,
        st.tuples(st.integers(0, 6), st.sampled_from([1, 6, 32, 33, 112])),
        elements=st.integers(0, 2**32 - 1),
    )
)
@settings(deadline=None)
def test_sketches(signatures):
    sketch = sketches(signatures)
    for row, values in enumerate(signatures.tolist()):
        whole = sum(int(word) << (64 * place) for place, word in enumerate(sketch[row].tolist()))
        assert whole == sum(two_bits(value) << (2 * k) for k, value in enumerate(values))
    for one in range(len(signatures)):
        for two in range(len(signatures)):
            differ = sum(two_bits(a) != two_bits(b) for a, b in zip(*signatures[[one, two]].tolist(), strict=True))
            assert differences(sketch, one, two) == differ
            assert differ <= (signatures[one] != signatures[two]).sum()  # so no duplicates are parted


def test_sketches_of_documents_that_share_two_bands_pass_for_no_duplicates():
    """A tenth of a million pairs with 16 hashes of 112 in common, made by chance; 79 would have to agree."""
    rng = np.random.default_rng(1)
    signatures = rng.integers(0, 2**32, (450, 112), np.uint32)
    signatures[:, :16] = signatures[0, :16]
    sketch = sketches(signatures)
    least = min(differences(sketch, one, two) for one in range(450) for two in range(one))
    assert least > 112 - MinhashSettings().enough


FEW = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=25)


@given(FEW, st.integers(0, 2))
@settings(deadline=None)
def test_alike_documents_of_a_bucket_are_joined(entries, most):
    """As the graph of all pairs with one key and sketches that differ in few places."""
    keys = np.array([key << 60 for key, _, _ in entries], np.uint64)
    sketch = np.array([[a | b << 2] for _, a, b in entries], np.uint64).reshape(-1, 1)
    rows = np.arange(len(entries)) * 3
    bits = sort_keys(keys, 0, 1)
    low, high = join_alike(keys, bits, rows, sketch, most)
    assert (low % 3 == 0).all() and (low != high).all()
    pairs = [
        (one, two)
        for one, (key, a, b) in enumerate(entries)
        for two, (other, c, d) in enumerate(entries[:one])
        if key == other and (a != c) + (b != d) <= most
    ]
    joined = list(zip((low // 3).tolist(), (high // 3).tolist(), strict=True))
    if entries:
        assert components(len(entries), joined) == components(len(entries), pairs)


def test_keys_of_documents():
    rng = np.random.default_rng(3)
    prints = Fingerprints(rng.integers(0, 2**63, (5, 2), np.uint64), rng.integers(0, 2**32, (5, 112), np.uint32))
    whole = keys_of(prints, DedupSettings())
    assert whole.shape == (5, 15)
    assert (whole[:, 0] == prints.exact[:, 0]).all()
    assert (whole[:, 1:] == band_keys(prints.signatures, 14, 8).T).all()
    assert len(np.unique(whole)) == whole.size
    assert keys_of(prints, DedupSettings(exact=False)).shape == (5, 14)
    none = Fingerprints(prints.exact, prints.signatures[:, :0])
    assert keys_of(none, DedupSettings(minhash=False)).shape == (5, 1)
    assert keys_of(none, DedupSettings(minhash=False, exact=False)).shape == (5, 0)


@given(st.lists(st.lists(st.integers(0, 4), max_size=12), max_size=5), st.integers(1, 9))
@settings(deadline=None)
def test_sections_keep_rows_in_order(tmp_path_factory, adds, chunk):
    root = tmp_path_factory.mktemp("sections")
    outputs = Outputs(root)
    schema = pa.schema({"row": pa.int64(), "pair": pa.binary(8)})
    expected, row = defaultdict(list), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections_module, "CHUNK", chunk)
        with outputs.open("file") as file, SectionWriter(file, schema, 5) as sink:
            for sections in adds:
                rows = np.arange(row, row + len(sections))
                row += len(sections)
                pairs = fixed(np.stack([rows, rows + 1], axis=1).astype(np.uint32))
                sink.add(
                    pa.RecordBatch.from_arrays([pa.array(rows), pairs], schema=schema), np.array(sections, np.int64)
                )
                for section, each in zip(sections, rows.tolist(), strict=True):
                    expected[section].append(each)
    for section in range(5):
        batches = list(read_section(outputs, "file", section, 5))
        assert [each for batch in batches for each in batch["row"].to_pylist()] == expected[section]
        pairs = [pair for batch in batches for pair in matrix(batch["pair"], np.uint32).tolist()]
        assert pairs == [[each, each + 1] for each in expected[section]]

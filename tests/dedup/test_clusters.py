import time

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mixer.dedup.clusters import EXACT, KEPT, NEAR, components, exact_twins, find_duplicates, is_valid
from mixer.dedup.fingerprint import fingerprint
from mixer.dedup.minhash import band_keys
from mixer.dedup.settings import DedupSettings, MinhashSettings
from tests.dedup import real, twin

SMALL = MinhashSettings(bands=3, rows=2, similarity=0.5)
REASONS = {KEPT: None, EXACT: "dedup.exact", NEAR: "dedup.minhash"}


def duplicates(exact, signatures, chosen):
    keys = band_keys(signatures, chosen.minhash.bands, chosen.minhash.rows) if chosen.minhash else ()
    return find_duplicates(exact, keys, lambda rows: signatures[rows], chosen)


def slow_components(signatures, minhash):
    """The lowest document of each one's component, by all pairs and another library's graph."""
    pairs = np.array(twin.edges(signatures, minhash), np.int64).reshape(-1, 2)
    count = len(signatures)
    graph = coo_array((np.ones(len(pairs)), pairs.T), (count, count))
    labels = connected_components(graph, directed=False)[1] if count else np.zeros(0, int)
    return [int(np.flatnonzero(labels == label)[0]) for label in labels]


# Few values, so that hashes, bands and whole signatures are often the same.
few = st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), max_size=30).map(
    lambda rows: np.array(rows, np.uint32).reshape(-1, 6)
)


@given(few, st.sampled_from([0.3, 0.5, 0.7, 1.0]))
@settings(deadline=None, max_examples=300)
def test_components_are_those_of_the_brute_force_graph(signatures, similarity):
    minhash = MinhashSettings(bands=3, rows=2, similarity=similarity)
    assert components(signatures, minhash).tolist() == slow_components(signatures, minhash)


@given(few, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_clusters_do_not_depend_on_the_order_of_documents(signatures, random):
    order = list(range(len(signatures)))
    random.shuffle(order)
    labels, shuffled = components(signatures, SMALL), components(signatures[order], SMALL)
    of = {here: {there for there in order if labels[there] == labels[here]} for here in order}
    for position, here in enumerate(order):
        assert {order[p] for p in range(len(order)) if shuffled[p] == shuffled[position]} == of[here]


def test_the_threshold_is_at_least():
    """77 of 110 hashes are 70 %, though 0.7 * 110 is not quite 77 as a float; 76 are not."""
    minhash = MinhashSettings(bands=11, rows=10, similarity=0.7)
    for agreeing, joined in ((77, True), (76, False)):
        signatures = np.zeros((2, 110), np.uint32)
        signatures[1, agreeing:] = 1
        assert (components(signatures, minhash).tolist() == [0, 0]) is joined


def test_enough_agreement_without_a_whole_band_is_no_candidate():
    signatures = np.zeros((2, 6), np.uint32)
    signatures[1, ::2] = 1
    assert components(signatures, SMALL).tolist() == [0, 1]


def test_chains_end_at_the_lowest():
    """Each document resembles the next one only: one cluster, whichever end comes first."""
    minhash = MinhashSettings(bands=10, rows=1, similarity=0.9)
    signatures = np.array([[min(max(step - k, 0), 1) for k in range(10)] for step in range(11)], np.uint32)
    assert components(signatures, minhash).tolist() == [0] * 11
    assert components(np.ascontiguousarray(signatures[::-1]), minhash).tolist() == [0] * 11
    assert twin.is_edge(signatures[0], signatures[1], minhash)
    assert not twin.is_edge(signatures[0], signatures[2], minhash)


def test_large_buckets_of_true_duplicates_are_cheap():
    """100,000 near copies of one document meet in nearly all bands; all pairs would be 5e9 comparisons a band."""
    rng = np.random.default_rng(0)
    original = rng.integers(0, 2**32, 112, np.uint32)
    changed = rng.random((100_000, 112)) < 0.05
    signatures = np.where(changed, rng.integers(0, 2**32, changed.shape, np.uint32), original)
    components(signatures[:10], MinhashSettings())
    start = time.process_time()
    assert not components(signatures, MinhashSettings()).any()
    assert time.process_time() - start < 5


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
@settings(deadline=None)
def test_exact_twins_are_the_first_with_the_same_key(keys):
    assert exact_twins(np.array(keys, np.uint64).reshape(-1, 2)).tolist() == [keys.index(key) for key in keys]


words = ["one", "two", "three", "four", "five", "six", "中", "文", "Six", "six "]
texts = st.lists(st.lists(st.sampled_from(words), max_size=12).map(" ".join), max_size=25)
choices = st.builds(
    DedupSettings,
    exact=st.booleans(),
    minhash=st.sampled_from([False, MinhashSettings(shingle=2, bands=6, rows=2, similarity=0.5)]),
)


@given(texts, choices)
@settings(deadline=None, max_examples=200)
def test_survivors_are_the_twins(texts, chosen):
    check(texts, chosen)


def check(texts, chosen):
    """Compare every verdict and survivor with the slow twin's, and return how often each verdict fell."""
    made = fingerprint(pa.array(texts, pa.large_string()), chosen.minhash or None)
    found = duplicates(made.exact, made.signatures, chosen)
    verdicts = [(REASONS[reason], row) for reason, row in zip(found.verdict.tolist(), found.twin.tolist(), strict=True)]
    signatures = np.array([twin.signature(text, chosen.minhash) for text in texts]) if chosen.minhash else None
    if chosen.minhash and len(texts):
        assert made.signatures.tolist() == signatures.tolist()
    assert verdicts == twin.verdicts(texts, signatures, chosen)
    return np.bincount(found.verdict, minlength=3).tolist()


def test_an_exact_loser_follows_its_twin_into_the_cluster():
    nearly = "one two three four five six seven eight nine ten " * 3
    counts = check([nearly + "a", "other", nearly + "b", nearly.upper() + " B ", "", " "], DedupSettings())
    made = fingerprint(pa.array([nearly + "a", nearly + "b", nearly + "B"], pa.large_string()), MinhashSettings())
    found = duplicates(made.exact, made.signatures, DedupSettings())
    assert found.verdict.tolist() == [KEPT, NEAR, EXACT]
    assert found.twin.tolist() == [0, 0, 0]
    assert counts == [3, 2, 1]


@pytest.mark.real_data
@pytest.mark.parametrize("chosen", [DedupSettings(), DedupSettings(exact=False)])
def test_signatures_edges_and_survivors_of_real_documents(chosen):
    texts = real.documents()
    texts += [texts[0].upper(), texts[7] + "\n\n"]
    kept, exact, near = check(texts, chosen)
    assert kept > 100
    assert near > 50
    assert (exact > 0) is chosen.exact


def test_the_split_is_a_hash_of_text_and_seed():
    exact = np.random.default_rng(0).integers(0, 2**63, (20_000, 2), np.uint64)
    valid = is_valid(exact, 0.1, 5)
    draws = [xxhash.xxh64_intdigest(key.astype("<u8").tobytes(), 5) for key in exact]
    assert valid.tolist() == [draw < 0.1 * 2**64 for draw in draws]
    assert abs(valid.mean() - 0.1) < 4.5 * np.sqrt(0.1 * 0.9 / len(exact))
    assert (valid == is_valid(exact[::-1], 0.1, 5)[::-1]).all()
    assert (valid <= is_valid(exact, 0.2, 5)).all()
    assert (valid != is_valid(exact, 0.1, 6)).any()
    assert not is_valid(exact, 0.0, 5).any()
    assert is_valid(exact, 1.0, 5).all()
    assert len(is_valid(exact[:0], 0.5, 5)) == 0

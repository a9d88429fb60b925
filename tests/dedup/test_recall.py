"""Is MinHash what theory says: agreement estimates Jaccard, and candidates follow 1 - (1 - J^8)^14."""

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.recall import compare, read
from mixer.dedup.fingerprint import fingerprint
from mixer.dedup.settings import MinhashSettings
from tests.dedup import real, twin


def candidates(same, minhash):
    """Which pairs meet in a band, given which hashes of each pair are the same: bool[pairs]."""
    return same.reshape(len(same), minhash.bands, minhash.rows).all(axis=2).any(axis=1)


def theory(similarity, minhash):
    return 1 - (1 - similarity**minhash.rows) ** minhash.bands


@pytest.mark.parametrize("shingles", [5, 20, 200])
@pytest.mark.parametrize("similarity", [0.4, 0.6, 0.7, 0.8, 0.9])
def test_pairs_of_known_similarity(shingles, similarity):
    """Pairs of documents without a word in common with another pair; with shingles of one unit, J is by construction.

    Bounds are 4.5 standard deviations; the variance, which shows whether the hashes of a signature are independent of
    one another, may be 10 % off.
    """
    pairs = 4000 if shingles < 100 else 1500
    minhash = MinhashSettings(shingle=1, seed=shingles)
    common = round(shingles * similarity)
    similarity = common / shingles
    half = common + (shingles - common) // 2
    ones, twos = [], []
    for pair in range(pairs):
        words = [f"{pair}.{word}" for word in range(shingles)]
        ones.append(" ".join(words[:half]))
        twos.append(" ".join(words[:common] + words[half:]))
    same = signatures(ones, minhash) == signatures(twos, minhash)
    variance = similarity * (1 - similarity)
    assert abs(same.mean() - similarity) < 4.5 * np.sqrt(variance / same.size)
    assert abs(same.mean(axis=1).var() / (variance / minhash.hashes) - 1) < 0.1
    expected = theory(similarity, minhash)
    found = candidates(same, minhash).mean()
    assert abs(found - expected) < 4.5 * np.sqrt(expected * (1 - expected) / pairs) + 1e-9


@pytest.mark.real_data
def test_real_documents_follow_the_curve(capsys):
    """Mean recall of pairs of real documents over 40 seeds, by exact Jaccard similarity, beside the curve."""
    texts = real.documents()
    sets = [twin.shingles(text, 5) for text in texts]
    pairs, similarity = [], []
    for one in range(len(texts)):
        for two in range(one):
            shared = len(sets[one] & sets[two])
            if shared and shared >= 0.3 * min(len(sets[one]), len(sets[two])):
                pairs.append((one, two))
                similarity.append(shared / (len(sets[one]) + len(sets[two]) - shared))
    ones, twos = np.array(pairs).T
    similarity = np.array(similarity)
    found, agreement = [], []
    for seed in range(40):
        minhash = MinhashSettings(seed=seed)
        made = signatures(texts, minhash)
        same = made[ones] == made[twos]
        found.append(candidates(same, minhash))
        agreement.append(same.mean(axis=1))
    found, agreement = np.array(found), np.array(agreement)
    expected = theory(similarity, MinhashSettings())
    assert np.abs(agreement.mean(axis=0) - similarity).max() < 5 * 0.5 / np.sqrt(40 * 112)
    lines = ["Jaccard      pairs  recall  theory"]
    for low in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        where = (similarity >= low) & (similarity < low + 0.1)
        if where.sum() >= 5:
            by_seed = found[:, where].mean(axis=1)
            recall, curve = by_seed.mean(), expected[where].mean()
            lines.append(f"{low:.1f} to {low + 0.1:.1f}  {where.sum():6d}  {recall:.4f}  {curve:.4f}")
            assert abs(recall - curve) < 4 * by_seed.std() / np.sqrt(len(by_seed)) + 0.002
    assert len(lines) > 4
    with capsys.disabled():
        print("\n" + "\n".join(lines))


@pytest.mark.real_data
def test_clusters_of_statutes_are_those_of_exact_similarity():
    """1,584 statutes and what they were amended to; benchmarks/recall.py has more corpora."""
    real.documents()  # skips where there are none
    found = compare(read("zh/laws_versions.jsonl.zst", "正文"))
    assert found.truly_lost > 40
    assert found.recall > 0.95
    assert found.precision > 0.9
    assert found.same > 0.85 * found.clusters
    assert found.unlike < 0.1 * found.lost
    assert found.least > 0.6


def signatures(texts, minhash):
    return fingerprint(pa.array(texts, pa.large_string()), minhash).signatures

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixer.text.characters import CLASSES, HAN, HANGUL, KANA, LETTER
from mixer.tokenize.count import ADDITIONAL, BASE, MISMATCH, NEUTRAL, SCRIPTS, Counts, by_label, tokens_by_kind

SPLIT = "龘𠮷㐂𪚥靐 ไทย 👩‍👩‍👧 हिन्दी"
TEXT = st.lists(
    st.one_of(
        st.sampled_from(
            ["人民", "，", "12", " the", "龘", "𠮷", "👍🏽", "ไ", "é", "\n", "々", "〇", "カ", "ー", "한", "①"]
        ),
        st.text(max_size=5),
        st.text("中文龘𠮷ab1，. \n😀", max_size=6),
    ),
    max_size=8,
).map("".join)


def column(texts):
    return pa.array(texts, pa.large_string())


def twin(text, lengths, script):
    """Count by looking at every pair of token and character."""
    kinds = [0, 0, 0]
    start = 0
    for length in lengths:
        letters = []
        position = 0
        for character in text:
            width = len(character.encode())
            if position < start + length and start < position + width and CLASSES[ord(character)] & LETTER:
                letters.append(character)
            position += width
        if any(CLASSES[ord(letter)] & script for letter in letters):
            kinds[ADDITIONAL] += 1
        else:
            kinds[BASE if letters else NEUTRAL] += 1
        start += length
    assert start == len(text.encode())
    return kinds


class TestKernel:
    @settings(max_examples=300, deadline=None)
    @given(st.lists(TEXT, max_size=4), st.sampled_from(sorted(SCRIPTS)))
    @example([SPLIT], "zh")
    def test_slow_twin_with_llama3(self, llama3, llama3_encoder, texts, language):
        ids, offsets = llama3_encoder.encode(column(texts))
        got = tokens_by_kind(column(texts), ids, offsets, llama3.token_bytes, SCRIPTS[language])
        assert got.shape == (len(texts), 3)
        for row, text in enumerate(texts):
            lengths = llama3.token_bytes[ids[offsets[row] : offsets[row + 1]]]
            assert got[row].tolist() == twin(text, lengths, SCRIPTS[language])

    @settings(max_examples=200, deadline=None)
    @given(TEXT, st.data())
    def test_slow_twin_with_any_cut(self, text, data):
        """Tokens that end anywhere, several to a character and many characters to one."""
        size = len(text.encode())
        cuts = sorted(data.draw(st.sets(st.integers(1, size - 1)))) if size > 1 else []
        lengths = np.diff([0, *cuts, size]) if size else np.empty(0, np.int64)
        table, ids = np.unique(lengths, return_inverse=True)
        got = tokens_by_kind(
            column([text]), ids.astype(np.uint32), np.array([0, len(ids)]), table.astype(np.int32), HAN
        )
        assert got[0].tolist() == twin(text, lengths, HAN)

    def test_by_hand(self, llama3, llama3_encoder):
        texts = ["人民", "The cat.", "1984 + 3!", "", "龘", "，人", "x龘"]
        ids, offsets = llama3_encoder.encode(column(texts))
        counts = tokens_by_kind(column(texts), ids, offsets, llama3.token_bytes, HAN)
        assert counts[0].tolist() == [1, 0, 0]
        assert counts[1].tolist() == [0, 2, 1]
        assert counts[2][[ADDITIONAL, BASE]].tolist() == [0, 0]
        assert counts[3].tolist() == [0, 0, 0]
        assert counts[4].tolist() == [int(offsets[5] - offsets[4]), 0, 0]
        assert offsets[5] - offsets[4] > 1  # a character of several tokens, each of them additional
        assert counts[5][ADDITIONAL] > 0
        assert counts[6][BASE] == 1

    def test_slice(self, llama3, llama3_encoder):
        texts = column(["one two", "三四", "five"])
        ids, offsets = llama3_encoder.encode(texts)
        whole = tokens_by_kind(texts, ids, offsets, llama3.token_bytes, HAN)
        ids, offsets = llama3_encoder.encode(texts.slice(1, 2))
        assert tokens_by_kind(texts.slice(1, 2), ids, offsets, llama3.token_bytes, HAN).tolist() == whole[1:].tolist()

    @pytest.mark.parametrize(("length", "fits"), [(2, False), (3, True), (4, False)])
    def test_bytes_must_add_up(self, length, fits):
        counts = tokens_by_kind(
            column(["abc", "d"]), np.array([0, 1], np.uint32), np.array([0, 1, 2]), np.array([length, 1], np.int32), HAN
        )
        assert (counts[0, ADDITIONAL] != MISMATCH) == fits
        assert counts[1].tolist() == [0, 1, 0]

    def test_scripts_are_letters(self):
        """A script's characters that are no letters (combining sound marks) make no token additional."""
        sound_mark = "\u3099"
        assert CLASSES[ord(sound_mark)] & LETTER == 0
        assert unicodedata.category(sound_mark) == "Mn"
        counts = tokens_by_kind(
            column([sound_mark + "a"]), np.zeros(1, np.uint32), np.array([0, 1]), np.array([4], np.int32), HAN | KANA
        )
        assert counts.tolist() == [[0, 1, 0]]

    def test_what_scripts_hold(self):
        assert all(CLASSES[ord(character)] & SCRIPTS["zh"] for character in "人龘𠮷々〇")
        assert all(CLASSES[ord(character)] & SCRIPTS["ja"] for character in "人かナー")
        assert CLASSES[ord("한")] & HANGUL & SCRIPTS["ko"]
        assert not any(CLASSES[ord(character)] & SCRIPTS["zh"] for character in "a1，。かナ한")


class TestCounts:
    def add(self, counts, kinds, *, is_additional=False):
        kinds = np.array(kinds, np.int64).reshape(-1, 3)
        counts.add(kinds, kinds.clip(0).sum(axis=1) + 1, 10 * len(kinds), is_additional=is_additional)
        return counts

    def test_neutral_tokens_are_shared_out(self):
        counts = self.add(Counts(), [[3, 1, 3], [0, 5, 4], [2, 0, 7]])
        assert counts.documents == 3
        assert counts.tokens == 8 + 10 + 10
        assert counts.neutral == 3 + 4 + 7 + 3
        assert counts.additional == 8 * 0.75 + 0 + 10
        assert counts.bytes == 30
        summary = counts.summary()
        assert summary["additional"] + summary["base"] == summary["tokens"]

    @pytest.mark.parametrize(("is_additional", "additional"), [(True, 6.0), (False, 0.0)])
    def test_label_where_there_is_no_letter(self, is_additional, additional):
        counts = self.add(Counts(), [[0, 0, 5]], is_additional=is_additional)
        assert (counts.additional, counts.neutral, counts.labelled) == (additional, 6, 0)

    @pytest.mark.parametrize(("is_additional", "additional"), [(True, 7.0), (False, 0.0)])
    def test_label_where_tokens_do_not_spell_the_text(self, is_additional, additional):
        counts = Counts()
        counts.add(by_label(1), np.array([7]), 3, is_additional=is_additional)
        assert (counts.tokens, counts.additional, counts.neutral, counts.labelled) == (7, additional, 0, 1)

    @settings(deadline=None)
    @given(st.lists(st.tuples(*[st.integers(0, 1000)] * 3), max_size=30), st.data())
    def test_borders_of_batches_do_not_show(self, kinds, data):
        """Sums of floats depend on their order: the very same bits, however the documents come."""
        cut = data.draw(st.integers(0, len(kinds)))
        whole = self.add(Counts(), kinds)
        assert self.add(self.add(Counts(), kinds[:cut]), kinds[cut:]) == whole
        slow = 0.0
        for additional, base, neutral in kinds:
            if additional + base:
                slow += (additional + base + neutral + 1) * (additional / (additional + base))
        assert whole.additional == slow

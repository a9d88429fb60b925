"""Views: an index of some documents over the same tokens; damage is named."""

import numpy as np
import pytest

from mixer.engine.outputs import Outputs
from mixer.errors import BrokenPromiseError
from mixer.megatron import view as module
from mixer.megatron.indexed import IndexFile
from mixer.megatron.view import read_view, write_view
from tests.builds import write_dataset


@pytest.fixture
def dataset(tmp_path):
    lengths = np.random.default_rng(1).integers(1, 30, 500).astype(np.int32)
    write_dataset(Outputs(tmp_path), "whole", lengths)
    return tmp_path / "whole"


def write(dataset, chosen, name="view"):
    outputs = Outputs(dataset.parent)
    with outputs.open(f"{name}.idx") as file:
        index = write_view(file, IndexFile(dataset), chosen)
    (dataset.parent / f"{name}.bin").hardlink_to(dataset.with_name("whole.bin"))
    return index, dataset.parent / name


@pytest.mark.parametrize("pieces", [7, 1 << 20])
def test_a_view_lists_the_chosen_documents(dataset, monkeypatch, pieces):
    monkeypatch.setattr(module, "PIECE_DOCUMENTS", pieces)
    chosen = np.random.default_rng(2).random(500) < 0.3
    index, prefix = write(dataset, chosen)
    whole, view = IndexFile(dataset), read_view(prefix)
    assert (index.documents, index.tokens) == (view.documents, view.tokens) == (chosen.sum(), view.lengths.sum())
    assert (view.lengths == whole.lengths[chosen]).all()
    assert (view.begins == whole.begins[chosen]).all()
    assert np.concatenate(list(view.places(whole))).tolist() == np.flatnonzero(chosen).tolist()


def test_a_view_of_everything_is_the_index_itself(dataset):
    _, prefix = write(dataset, np.ones(500, np.bool_))
    assert prefix.with_suffix(".idx").read_bytes() == dataset.with_suffix(".idx").read_bytes()


def test_a_view_of_nothing_is_none(dataset):
    with pytest.raises(ValueError, match="must have a document"):
        write(dataset, np.zeros(500, np.bool_))


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (34, 0, "document 0 is empty"),
        (34 + 4 * 50 + 8, 2, "document 1 begins inside the one before it"),
        (34 + 4 * 50 + 8, 401, "document 1 begins inside a token"),
        (34 + 12 * 50 + 8, 7, "document 1 is numbered wrongly"),
        (34 + 12 * 50 + 8 * 50, 7, "does not end its documents where its sequences end"),
    ],
)
def test_damage_is_named(dataset, at, value, message):
    chosen = np.zeros(500, np.bool_)
    chosen[::10] = True
    chosen[10] = False
    chosen[450] = chosen[451] = True
    _, prefix = write(dataset, chosen)
    path = prefix.with_suffix(".idx")
    content = bytearray(path.read_bytes())
    size = 4 if at == 34 else 8
    content[at : at + size] = value.to_bytes(size, "little")
    path.write_bytes(content)
    with pytest.raises(BrokenPromiseError, match=message):
        read_view(prefix)


def test_documents_of_another_dataset_are_named(dataset, tmp_path):
    chosen = np.zeros(500, np.bool_)
    chosen[::10] = True
    _, prefix = write(dataset, chosen)
    lengths = np.random.default_rng(9).integers(1, 30, 500).astype(np.int32)
    write_dataset(Outputs(tmp_path), "other", lengths)
    with pytest.raises(BrokenPromiseError, match="is none of its dataset"):
        list(read_view(prefix).places(IndexFile(tmp_path / "other")))


def test_a_missing_bin_is_named(dataset):
    _, prefix = write(dataset, np.ones(500, np.bool_))
    prefix.with_suffix(".bin").unlink()
    with pytest.raises(BrokenPromiseError, match=r"view\.bin is missing"):
        read_view(prefix)

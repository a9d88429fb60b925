"""verify: that it sees every broken promise, and names its file."""

import errno
import json
import re
import struct

import msgspec
import numpy as np
import pytest
import xxhash

from mixer.engine.outputs import Outputs
from mixer.errors import BrokenPromiseError
from mixer.manifest import Hashes, content_id, read
from mixer.mixture.export import export
from mixer.mixture.verify import verify
from tests.builds import TOKENIZER, Made, change, change_text, make_build


@pytest.fixture
def build(tmp_path):
    return make_build(tmp_path)


def broken(build, **options):
    """Verify a build that is not whole and return the message."""
    with pytest.raises(BrokenPromiseError) as caught:
        verify(build, **options)
    assert caught.value.exit_code == 4
    return caught.value.message


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def prefix(build, number=0):
    return build / read(build).datasets[number].prefix


@pytest.mark.parametrize("number", [0, 2])
def test_a_flipped_byte_in_a_bin(build, number):
    path = prefix(build, number).with_suffix(".bin")
    flip(path, path.stat().st_size // 2)
    message = broken(build)
    assert f"{path} has the xxh64" in message
    assert message.count("\n") == 1
    verify(build, rehash=False)  # which the report says


def test_a_flipped_byte_in_a_validation_set(build):
    path = (build / read(build).valid[1].prefix).with_suffix(".bin")
    flip(path, 5)
    assert f"{path} has the xxh64" in broken(build)


@pytest.mark.parametrize("rehash", [True, False])
def test_a_changed_length_in_an_idx(build, rehash):
    path = prefix(build).with_suffix(".idx")
    content = bytearray(path.read_bytes())
    length = struct.unpack_from("<i", content, 38)[0]
    struct.pack_into("<i", content, 38, length + 1)
    path.write_bytes(content)
    message = broken(build, rehash=rehash)
    assert f"{path} is inconsistent: document 2" in message
    assert (f"{path} has the xxh64" in message) == rehash


def test_another_index_that_is_consistent(build):
    path = prefix(build).with_suffix(".idx")
    path.write_bytes(prefix(build, 1).with_suffix(".idx").read_bytes())
    prefix(build).with_suffix(".bin").write_bytes(prefix(build, 1).with_suffix(".bin").read_bytes())
    assert f"{path} has " in broken(build, rehash=False)


@pytest.mark.parametrize("suffixes", [[".bin"], [".idx"], [".bin", ".idx"]])
@pytest.mark.parametrize("rehash", [True, False])
def test_a_deleted_prefix(build, suffixes, rehash):
    for suffix in suffixes:
        prefix(build, 1).with_suffix(suffix).unlink()
    message = broken(build, rehash=rehash)
    for suffix in suffixes:
        assert f"{prefix(build, 1)}{suffix} is missing" in message


def test_a_file_that_the_disk_does_not_give_back(build, monkeypatch):
    def fail(path, *others):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("mixer.mixture.checks.hash_of", fail)
    assert f"{prefix(build)}.idx cannot be read: Input/output error" in broken(build)


def test_a_truncated_bin(build):
    path = prefix(build).with_suffix(".bin")
    path.write_bytes(path.read_bytes()[:-2])
    assert f"{path} has " in broken(build, rehash=False)


def test_a_changed_weight(build):
    change_text(build / "megatron/blend.json", r'"0\.\d+"', '"0.2"')
    message = broken(build)
    path = build / "megatron/blend.json"
    assert f"{path} gives {prefix(build)} the weight 0.2" in message
    assert f"{path} makes Megatron draw" in message
    assert f"{path} has an ALMR of" in message


def test_an_order_that_leaves_the_line_by_more_than_the_bound(build):
    # Weights that swap the languages: nothing but the order itself can show where the ratio was broken first.
    blend = json.loads((build / "megatron/blend.json").read_text())
    blend["train"][0::2] = blend["train"][0::2][::-1]
    (build / "megatron/blend.json").write_text(json.dumps(blend))
    message = broken(build)
    assert re.search(r"blend\.json is \d+\.\d\d samples of the additional language off its line after [\d,]+", message)
    assert "not between -1." in message


def test_the_smallest_change_of_a_weight(build):
    weight = read(build).datasets[0].weight
    change_text(build / "megatron/blend.json", repr(weight), repr(float(np.nextafter(weight, 1))))
    assert "gives" in broken(build)


def test_a_weight_that_is_no_number(build):
    change_text(build / "megatron/blend.json", r'"0\.\d+"', '"a lot"')
    assert f"{build / 'megatron/blend.json'} gives" in broken(build)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_prefix_deleted_from_the_blend(build, split):
    path = build / "megatron/blend.json"
    blend = json.loads(path.read_text())
    gone = blend[split].pop()
    blend[split].pop()
    path.write_text(json.dumps(blend))
    assert f"{path} lacks {gone}" in broken(build)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_deleted_from_the_blend(build, split):
    path = build / "megatron/blend.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {split: None}))
    assert f"{path} has no {split} split" in broken(build)


def test_prefixes_in_another_order(build):
    path = build / "megatron/blend.json"
    blend = json.loads(path.read_text())
    blend["train"] = blend["train"][2:] + blend["train"][:2]
    path.write_text(json.dumps(blend))
    assert f"{path} has another order" in broken(build)


def test_a_prefix_from_elsewhere(build):
    change_text(build / "megatron/blend.json", r"train/dolma-en", "train/dolma")
    message = broken(build)
    assert "which mixture.json does not list" in message
    assert f"lacks {prefix(build, 2)}" in message


def test_a_test_split(build):
    path = build / "megatron/blend.json"
    blend = json.loads(path.read_text())
    path.write_text(json.dumps(blend | {"test": blend["valid"]}))
    assert f"{path} has a test split" in broken(build)


@pytest.mark.parametrize("name", ["megatron/blend.json", "megatron/args.txt"])
def test_a_missing_file_of_megatrons(build, name):
    (build / name).unlink()
    message = broken(build)
    assert f"{build / name} is missing" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("pattern", "replacement", "match"),
    [
        (r"--train-samples \d+", "--train-samples 99999999", "says --train-samples 99999999"),
        (r"--seq-length \d+\n", "", "lacks --seq-length"),
        (r"--data-cache-path \S+", "--data-cache-path /tmp", "says --data-cache-path /tmp"),
        (r"blend\.json", "other.json", "says --per-split-data-args-path"),
        (r"--tokenizer-type \S+\n", "", "lacks --tokenizer-type"),
    ],
)
def test_changed_args(build, pattern, replacement, match):
    change_text(build / "megatron/args.txt", pattern, replacement)
    assert f"{build / 'megatron/args.txt'} {match}" in broken(build)


def test_the_choice_of_tokenizer_is_the_trainers(build):
    change_text(build / "megatron/args.txt", r"--tokenizer-type \S+", "--tokenizer-type HuggingFaceTokenizer --x y")
    verify(build)


def test_a_stale_mixture_json_of_another_mix(build, tmp_path):
    other = make_build(tmp_path / "other", almr=0.4)
    assert read(other).build == read(build).build
    (build / "mixture.json").write_bytes((other / "mixture.json").read_bytes())
    message = broken(build)
    assert "mixture.json says" in message
    assert str(build / "megatron/blend.json") in message
    assert f"{build / 'megatron/args.txt'} says --train-samples" in message


def test_a_stale_mixture_json_of_another_build(build, tmp_path):
    other = make_build(tmp_path / "other", [Made("wanjuan", "zh", 31_000), Made("dolma", "en", 60_000)])
    (build / "mixture.json").write_bytes((other / "mixture.json").read_bytes())
    message = broken(build)
    assert f"{build / read(other).datasets[0].prefix}.bin is missing" in message
    assert "blend.json" in message


def test_an_unlisted_file(build):
    path = build / "megatron" / read(build).build / "train" / "other-zh.bin"
    path.write_bytes(b"")
    assert f"{path} is not listed in mixture.json" in broken(build)


def entry_change(**changes):
    def apply(manifest):
        first, *rest = manifest.datasets
        return {"datasets": (msgspec.structs.replace(first, **changes), *rest)}

    return apply


def almr_change(**changes):
    return lambda manifest: {"almr": msgspec.structs.replace(manifest.almr, **changes)}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda m: {"samples_max": m.samples_max + 1}, "samples_max"),
        (lambda m: {"samples_max": m.samples - 1}, "samples_max"),
        (lambda m: {"samples": m.samples + 1}, "but its datasets have"),
        (lambda m: {"tokens": m.tokens + m.sequence_length}, "which are not"),
        (lambda m: {"build": "0" * 32}, "but the hashes it lists make"),
        (lambda m: {"valid": m.valid[:1]}, "but the hashes it lists make"),
        (lambda m: {"datasets": (*m.datasets, m.datasets[0])}, "lists a prefix twice"),
        (entry_change(prefix="/etc/passwd"), "not of its build"),
        (entry_change(weight=0.25), "the weight 0.25 is not its"),
        (entry_change(samples=7), "samples"),
        (entry_change(epochs=0.5), "0.5 epochs are not its"),
        (entry_change(max_epochs=0.5), "are more than 0.5 epochs"),
        (entry_change(role="base"), "realised ALMR"),
        (entry_change(additional_tokens=20_000), "measured ALMR"),
        (entry_change(base_tokens=10**6), "more tokens of one kind than tokens"),
        (entry_change(documents=3), "but mixture.json says 3"),
        (entry_change(xxh64=Hashes(bin="0" * 16, idx="0" * 16)), "but mixture.json says 0000000000000000"),
        (almr_change(target=0.34), "more than half a sample from 0.34"),
        (almr_change(realised=0.34), "says the realised ALMR is 0.34"),
        (almr_change(measured=0.34), "says the measured ALMR is 0.34"),
        (almr_change(basis="measured"), "has a measured ALMR of"),
    ],
)
def test_a_mixture_json_that_contradicts_itself_or_the_files(build, make, match):
    change(build, **make(read(build)))
    message = broken(build)
    assert match in message
    assert str(build / "mixture.json") in message or "mixture.json says" in message


def test_a_dataset_below_64_sequences(tmp_path):
    build = make_build(tmp_path, [Made("tiny", "zh", 64 * 16 - 1), Made("dolma", "en", 9000)])
    assert "1,023 tokens are less than 64 sequences" in broken(build)


def rehashed(build, name, content):
    """Give a dataset another ``.bin`` and rename the build as if it had been made with it."""
    manifest = read(build)
    folder = build / "megatron" / manifest.build
    (folder / name).with_suffix(".bin").write_bytes(content)
    entries = []
    for entry in manifest.entries:
        hashes = entry.xxh64
        if entry.prefix.endswith(name):
            hashes = msgspec.structs.replace(hashes, bin=xxhash.xxh64_hexdigest(content))
        entries.append(msgspec.structs.replace(entry, xxh64=hashes))
    files = [("/".join(entry.prefix.split("/")[2:]), entry.xxh64) for entry in entries]
    renamed = content_id(files)
    folder.rename(folder.with_name(renamed))
    entries = [msgspec.structs.replace(e, prefix=e.prefix.replace(manifest.build, renamed)) for e in entries]
    count = len(manifest.datasets)
    changed = msgspec.structs.replace(
        manifest, build=renamed, datasets=tuple(entries[:count]), valid=tuple(entries[count:])
    )
    export(Outputs(build), changed)


@pytest.mark.parametrize("piece", [64, 16 << 20])
@pytest.mark.parametrize("at", ["end", "inside", "last"])
def test_an_end_of_document_that_was_wrong_from_the_start(build, at, piece, monkeypatch):
    monkeypatch.setattr("mixer.mixture.checks.PIECE_BYTES", piece)
    ids = np.frombuffer(prefix(build).with_suffix(".bin").read_bytes(), "<u2").copy()
    ends = np.flatnonzero(ids == TOKENIZER.eod)
    some = next(k for k in range(30, len(ends)) if ends[k] - ends[k - 1] > 2)
    document = {"end": some, "inside": some, "last": len(ends) - 1}[at]
    ids[{"end": ends[some], "inside": ends[some] - 1, "last": -1}[at]] = TOKENIZER.eod if at == "inside" else 5
    rehashed(build, "train/wanjuan-zh", ids.tobytes())
    message = broken(build)
    assert f"{prefix(build)}.bin does not end document {document:,} with EOD 999" in message
    assert message.count("\n") == 1
    verify(build, rehash=False)


@pytest.mark.parametrize("piece", [64, 16 << 20])
def test_an_id_that_is_none_of_the_vocabularys(build, piece, monkeypatch):
    monkeypatch.setattr("mixer.mixture.checks.PIECE_BYTES", piece)
    ids = np.frombuffer(prefix(build).with_suffix(".bin").read_bytes(), "<u2").copy()
    where = np.flatnonzero(ids != TOKENIZER.eod)[[3000, 4000]]
    ids[where] = TOKENIZER.vocab_size
    rehashed(build, "train/wanjuan-zh", ids.tobytes())
    assert f"{prefix(build)}.bin has an id outside the vocabulary: token {where[0]:,}" in broken(build)


def test_everything_broken_is_listed_at_once(build):
    flip(prefix(build, 0).with_suffix(".bin"), 7)
    prefix(build, 1).with_suffix(".idx").unlink()
    change_text(build / "megatron/args.txt", r"--seq-length \d+", "--seq-length 3")
    message = broken(build)
    assert message.count("\n  - ") == 3


def test_shares_that_are_not_those_asked_for(build):
    change(
        build,
        settings={"domains": {"web": 0.9}},
        shares={"wanjuan": (0.5, 1.0), "dolma": (0.0, 0.67), "zhihu": (0.5, 0.5)},
    )
    message = broken(build)
    assert "gives the domain web a share of 1.0, not 0.9" in message
    assert re.search(r"gives the source wanjuan a share of 0.2\d*, not between 0.5 and 1\n", message)
    assert re.search(r"gives the source zhihu a share of 0.0\d*, not 0.5", message)
    assert "dolma" not in message


def test_settings_that_are_none(build):
    change(build, settings={"domains": {"web": "much"}})
    assert "has no settings of a mixture: Expected `float`" in broken(build)

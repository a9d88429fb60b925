"""The CSV of results: both units, what is set aside, and a clear error for everything else."""

import csv
import io
import math
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixer.errors import UsageError
from mixer.mixture.frontier.choice import collect
from mixer.mixture.frontier.runs import REQUIRED, read_runs
from mixer.sweep import COLUMNS


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "runs.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_shares_and_percentages_are_told_apart(file):
    shares = read_runs(file("almr,lr,loss\n0.1,1e-8,2\n1,1e-8,2\n"))
    percent = read_runs(file("almr,lr,loss\n10,1e-8,2\n100,1e-8,2\n"))
    signed = read_runs(file("almr,lr,loss\n10 %,1e-8,2\n0.5%,1e-8,2\n"))
    assert (shares.unit, percent.unit, signed.unit) == ("fraction", "percent", "percent")
    assert shares.columns["almr"].tolist() == percent.columns["almr"].tolist() == [0.1, 1]
    assert signed.columns["almr"].tolist() == [0.1, 0.005]


def test_every_other_column_is_a_metric_and_some_may_be_chosen(file):
    path = file("\ufeffRun , ALMR,lr,loss,MMLU,ppl,tokens,general_loss\na,0.1,1e-8,2,50,9,100B,1.9\n")
    runs = read_runs(path)
    assert runs.metrics == ("mmlu", "ppl")
    assert runs.columns["tokens"].tolist() == [100e9]
    assert read_runs(path, ["ppl"], ["ppl"]).metrics == ("ppl",)


def test_the_file_that_a_sweep_leaves_is_read_with_results_and_without(file):
    header = ",".join(COLUMNS)
    empty = read_runs(file(f"{header}\nalmr-0.3-lr-1e-08-1f2e3d4c,0.3,1e-08,100000000000,\n"))
    assert not empty.complete(REQUIRED).any()
    filled = read_runs(file(f"{header},mmlu\nalmr-0.3-lr-1e-08-1f2e3d4c,0.3,1e-08,100000000000,2.1,60\n"))
    assert filled.complete([*REQUIRED, "tokens", "mmlu"]).all()
    assert filled.metrics == ("mmlu",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: there is no column 'almr'"),
        ("ratio,lr,loss\n0.1,1,2\n", r"line 1: there is no column 'almr'"),
        ("almr,lr,los\n0.1,1,2\n", r"line 1: there is no column 'loss' \(did you mean 'los'\?\)"),
        ("almr,lr,loss,lr\n0.1,1,2,1\n", r"line 1: the column 'lr' stands there twice"),
        ("almr,lr,loss\n", r"holds no runs"),
        ("almr,lr,loss\n\n0.1,1e-8\n", r"line 3: 2 cells, not 3"),
        ("almr,lr,loss\n0.1,1e-8,2\n0.2,0,2\n", r"line 3: lr is '0', and must be above 0"),
        ("almr,lr,loss\n0.1,-1e-8,2\n", r"line 2: lr is '-1e-8', and must be above 0"),
        ("almr,lr,loss\n0.1,high,2\n", r"line 2: lr is 'high', not a number"),
        ("almr,lr,loss\nsome,1e-8,2\n", r"line 2: almr is 'some', not a number"),
        ("almr,lr,loss\n-0.1,1e-8,2\n", r"line 2: almr is '-0.1', outside 0 to 1"),
        ("almr,lr,loss\n20,1e-8,2\n101,1e-8,2\n", r"line 3: almr is '101', outside 0 to 100"),
        ("almr,lr,loss\n20,1e-8,2\n0.3,1e-8,2\n", r"line 3: almr is '0.3', a share or a percentage\?"),
        ("almr,lr,loss\n20%,1e-8,2\n30,1e-8,2\n", r"line 3: almr has no percent sign, and other lines have one"),
        ("almr,lr,loss,name\n0.1,1e-8,2,first\n", r"line 2: name is 'first', not a number"),
        ("almr,lr,loss,tokens\n0.1,1e-8,2,0\n", r"line 2: tokens is '0', and must be above 0"),
        ('almr,lr,loss\n0.1,1e-8,"2\n', r"line 2: unexpected end of data"),
        (b"almr,lr,loss\n\xff,1,2\n", r"it is not UTF-8"),
    ],
)
def test_anything_else_is_refused_with_file_and_line(file, text, message):
    path = file(text)
    with pytest.raises(UsageError, match=message) as refusal:
        read_runs(path)
    assert str(path) in refusal.value.message
    assert refusal.value.remedy
    assert refusal.value.exit_code == 2


def test_a_missing_file_and_an_unknown_metric_are_named(tmp_path, file):
    with pytest.raises(UsageError, match=r"none.csv cannot be read: No such file"):
        read_runs(tmp_path / "none.csv")
    path = file("almr,lr,loss,mmlu,ppl\n0.1,1e-8,2,50,9\n")
    with pytest.raises(UsageError, match=r"no metric 'mlu' \(did you mean 'mmlu'\?\)"):
        read_runs(path, lower=["mlu"])
    with pytest.raises(UsageError, match="'ppl' is not among the metrics asked for"):
        read_runs(path, ["mmlu"], ["ppl"])


def test_runs_at_one_point_are_averaged_and_rows_without_results_set_aside(file):
    rows = ["almr,lr,loss,mmlu", "0.1,1e-8,2,50", "0.1,1e-8,4,52", "0.2,1e-8,3,nan", "0.2,1e-7,inf,3", "0.3,1e-7,3,60"]
    points = collect(read_runs(file("\n".join(rows))))
    assert points.where == pytest.approx(np.array([[-8, 0.1], [-7, 0.3]]))
    assert points.loss.tolist() == [3, 3]
    assert points.counts.tolist() == [2, 1]
    assert points.set_aside == 2


def test_nothing_but_empty_results_is_refused(file):
    with pytest.raises(UsageError, match="none of its 2 rows has a number in each of almr, lr, loss, mmlu"):
        collect(read_runs(file("almr,lr,loss,mmlu\n0.1,1e-8,,\n0.2,1e-8,,\n")))


def test_metrics_are_turned_standardised_and_averaged(file):
    rows = ["almr,lr,loss,up,down,same", "0.1,1e-8,2,1,300,7", "0.2,1e-8,2,2,200,7", "0.3,1e-8,2,3,100,7"]
    points = collect(read_runs(file("\n".join(rows)), lower=["down"]))
    assert points.performance == pytest.approx(np.array([-1, 0, 1]) * math.sqrt(1.5) * 2 / 3)


def test_of_several_sizes_that_with_the_most_points_is_taken(file):
    rows = ["almr,lr,loss,tokens,parameters", "0.1,1e-8,2,1B,1e9", "0.1,1e-8,3,2B,1e9", "0.2,1e-8,4,2B,1e9"]
    points = collect(read_runs(file("\n".join(rows))))
    assert points.loss.tolist() == [3, 4]
    assert points.size == {"tokens": 2e9, "parameters": 1e9}
    assert points.elsewhere == 1


CELLS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(["", " ", "0.33", "33", "33%", "1e-8", "nan", "-1", "1.7T", "0x1", "1_0", "\u0663"]),
    st.text(alphabet=string.printable + "，％中\x00\u2028", max_size=6),
)


@given(
    header=st.permutations(["almr", "lr", "loss", "mmlu", "tokens", "run"]),
    rows=st.lists(st.lists(CELLS, min_size=5, max_size=7), max_size=6),
    raw=st.booleans(),
    junk=st.binary(max_size=60),
)
def test_any_file_is_read_or_refused_with_a_remedy(tmp_path_factory, header, rows, raw, junk):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    text = io.StringIO()
    csv.writer(text, escapechar="\\").writerows([header, *rows])
    path.write_bytes(junk if raw else text.getvalue().encode("utf-8", "surrogatepass"))
    try:
        runs = read_runs(path)
        points = collect(runs)
    except UsageError as refusal:
        assert str(path) in refusal.message
        assert refusal.remedy
        return
    almr = runs.columns["almr"][np.isfinite(runs.columns["almr"])]
    assert ((almr >= 0) & (almr <= 1)).all()
    assert points.counts.sum() + points.set_aside + points.elsewhere == len(runs)
    assert np.isfinite(points.where).all()
    assert np.isfinite(points.loss).all()


@given(
    cells=st.lists(
        st.tuples(st.integers(0, 100), st.floats(1e-10, 1e-2), st.floats(0.1, 10), st.floats(0, 100)),
        min_size=1,
        max_size=20,
    )
)
def test_both_units_give_the_same_points(tmp_path_factory, cells):
    folder = tmp_path_factory.getbasetemp()
    found = []
    for name, scale, sign in (("share", 0.01, ""), ("signed", 1, "%")):
        path = folder / f"{name}.csv"
        rows = [f"{almr * scale!r}{sign},{lr!r},{loss!r},{score!r}" for almr, lr, loss, score in cells]
        path.write_text("\n".join(["almr,lr,loss,score", *rows]))
        found.append(collect(read_runs(path)))
    assert found[0].where == pytest.approx(found[1].where, abs=1e-12)
    assert found[0].loss == pytest.approx(found[1].loss)
    assert found[0].counts.tolist() == found[1].counts.tolist()

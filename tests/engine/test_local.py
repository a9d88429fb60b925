"""The local engine against tasks that are killed, crash, refuse, hang or are changed between runs."""

import resource
import time
from pathlib import Path

import pytest

from mixer.engine.display import SilentDisplay
from mixer.engine.local import LocalEngine
from mixer.engine.receipts import receipt_path
from mixer.engine.stage import StageReport
from mixer.errors import DiskError, InputError, MixerError, TaskError
from tests.engine.stages import Letters, Unloadable


class Notes(SilentDisplay):
    def __init__(self):
        self.started, self.notes, self.snapshots, self.reports = [], [], [], []

    def start(self, stage, tasks, skipped):
        self.started.append((stage, tasks, skipped))

    def update(self, snapshot):
        self.snapshots.append(snapshot)

    def note(self, text):
        self.notes.append(text)

    def finish(self, report):
        self.reports.append(report)


@pytest.fixture
def flags(tmp_path):
    (tmp_path / "flags").mkdir()
    return tmp_path / "flags"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "out"


def run(root, stage, workers=2, display=None):
    return LocalEngine(root, workers, display or SilentDisplay()).run(stage)


def runs(flags):
    return {int(path.stem): len(path.read_text()) for path in flags.iterdir()}


def files(root):
    return {path.name: path.read_bytes() for path in (root / "documents").rglob("*") if path.is_file()}


def test_receipts_come_in_task_order_and_say_what_was_measured(root):
    notes = Notes()
    receipts = run(root, Letters(5, seconds=0.1), display=notes)
    assert [receipt.counts["number"] for receipt in receipts] == [0, 1, 2, 3, 4]
    first = receipts[0]
    path = root / "documents/part/00000.txt"
    assert first.outputs["documents/part/00000.txt"].bytes == path.stat().st_size
    assert (first.documents, first.kept, first.text_bytes) == (10, 9, 3000)
    assert 0 < first.cpu_seconds < 5
    assert 10e6 < first.peak_bytes < 1e9
    assert notes.started == [("letters", 5, 0)]
    (report,) = notes.reports
    assert (report.ran, report.skipped, report.documents, report.kept, report.text_bytes) == (5, 0, 50, 45, 15000)
    assert notes.snapshots[-1].done == 5
    assert notes.snapshots[-1].documents == 50
    assert notes.snapshots[-1].fraction == 1.0
    assert not list((root / "run/logs").rglob("*.log"))


def test_same_bytes_for_any_number_of_workers(root, tmp_path):
    run(root, Letters(4), workers=1)
    run(tmp_path / "other", Letters(4), workers=3)
    assert files(root) == files(tmp_path / "other")


def test_workers_use_one_thread(root):
    assert run(root, Letters(1, {0: "threads"}))


def test_a_worker_killed_once_is_tried_again(root, flags, tmp_path):
    notes = Notes()
    receipts = run(root, Letters(4, {1: "once kill"}, flags), display=notes)
    assert len(receipts) == 4
    assert runs(flags) == {0: 1, 1: 2, 2: 1, 3: 1}
    assert notes.notes == ["letters: task part/00001: killed by SIGKILL; it is tried once more"]
    # What the dead attempt had reported is not counted twice.
    assert notes.snapshots[-1].documents == notes.reports[0].documents == 40
    run(tmp_path / "calm", Letters(4))
    assert files(root) == files(tmp_path / "calm")


@pytest.mark.parametrize(
    ("order", "cause"),
    [
        ("kill", "killed by SIGKILL"),
        ("abort", "killed by SIGABRT"),
        ("crash", "ZeroDivisionError: no letters for 1"),
        ("exit", "SystemExit: 7"),
        ("leave", "ended with exit code 0 and without a receipt"),
        ("panic", "BaseException: panic"),
    ],
)
def test_a_task_that_fails_twice_is_named_and_the_others_finish(root, flags, order, cause):
    with pytest.raises(TaskError) as caught:
        run(root, Letters(4, {1: order}, flags))
    log = root / "run/logs/letters/part/00001.log"
    assert f"stage letters: 1 of 4 tasks failed 2 times:\n  part/00001: {cause}; see {log}" in caught.value.message
    assert ("--workers" in caught.value.remedy) == (order == "kill")
    assert caught.value.exit_code == 1
    assert runs(flags) == {0: 1, 1: 2, 2: 1, 3: 1}
    assert not list(root.rglob("*.tmp"))
    if order == "crash":
        assert log.read_text().count("about to crash") == 2
        assert "Traceback" in log.read_text()
    if order == "abort":
        assert "Fatal Python error: Aborted" in log.read_text()
    # Once the cause is gone the same command does only what is missing.
    assert len(run(root, Letters(4, {}, flags))) == 4
    assert runs(flags) == {0: 1, 1: 3, 2: 1, 3: 1}


def test_an_error_of_the_users_is_raised_as_it_is_and_nothing_new_is_started(root, flags):
    # The largest task (7) goes first and refuses at once; 6 runs beside it and finishes.
    with pytest.raises(InputError) as caught:
        run(root, Letters(8, {7: "refuse"}, flags, seconds=0.5))
    assert (caught.value.message, caught.value.remedy) == ("file 7 is bad", "mend it")
    assert runs(flags) == {6: 1, 7: 1}
    assert list(files(root)) == ["00006.txt"]


def test_an_error_that_does_not_travel_still_says_what_it_said(root):
    with pytest.raises(MixerError, match="PickyError: picky 1 2"):
        run(root, Letters(1, {0: "unportable"}))


def test_a_full_disk_is_a_disk_error(root):
    with pytest.raises(DiskError, match="no space left on the disk"):
        run(root, Letters(1, {0: "disk"}))


def test_a_stage_that_cannot_be_loaded_is_reported_with_its_traceback(root):
    with pytest.raises(TaskError, match="ValueError: cannot be loaded here"):
        run(root, Unloadable())
    assert "Traceback" in (root / "run/logs/unloadable/only.log").read_text()


def test_the_fork_server_may_die_too(root, flags):
    notes = Notes()
    assert len(run(root, Letters(3, {1: "once kill the server"}, flags), display=notes)) == 3
    assert any("the process that starts workers was killed" in note for note in notes.notes)


def test_resume_runs_only_what_is_missing_or_stale(root, flags):
    stage = Letters(4, {}, flags)
    run(root, stage)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.txt")}
    notes = Notes()
    receipts = run(root, stage, display=notes)
    assert runs(flags) == {0: 1, 1: 1, 2: 1, 3: 1}
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.txt")} == before
    assert notes.started == [("letters", 4, 4)]
    assert notes.reports[0].documents == 40  # an earlier run's counts are in the sums
    assert [receipt.counts["number"] for receipt in receipts] == [0, 1, 2, 3]

    (root / "documents/part/00000.txt").unlink()
    with (root / "documents/part/00001.txt").open("ab") as file:
        file.write(b"longer")
    receipt_path(root, "letters", "part/00002").write_bytes(b'{"stage": "lett')
    run(root, stage)
    assert runs(flags) == {0: 2, 1: 2, 2: 2, 3: 1}

    run(root, Letters(4, {}, flags, version=2))
    assert runs(flags) == {0: 3, 1: 3, 2: 3, 3: 2}
    assert b"version 2" in files(root)["00003.txt"]


def test_settings_changed_and_changed_back_leave_nothing_of_the_change(root, flags):
    run(root, Letters(1))
    with pytest.raises(TaskError):
        run(root, Letters(1, {0: "crash"}, version=2))
    assert run(root, Letters(1, {}, flags))
    assert runs(flags) == {0: 1}
    assert b"version 1" in files(root)["00000.txt"]


def test_tasks_no_longer_planned_leave_nothing(root):
    run(root, Letters(3))
    run(root, Letters(2))
    assert sorted(files(root)) == ["00000.txt", "00001.txt"]
    assert not receipt_path(root, "letters", "part/00002").exists()


def test_half_written_files_of_killed_tasks_are_removed(root):
    for name in ("documents/part/old.txt.tmp", "run/receipts/letters/x.json.tmp", "megatron/a.bin.tmp"):
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    run(root, Letters(1))
    assert not list(root.rglob("*.tmp"))


def test_two_tasks_of_one_id_are_a_programming_error(root):
    class Twice(Letters):
        def tasks(self):
            return super().tasks() * 2

    with pytest.raises(ValueError, match="two tasks of one id"):
        run(root, Twice(1))


def test_no_tasks_no_receipts(root):
    assert run(root, Letters(0)) == []


def test_workers_must_be_positive(root):
    with pytest.raises(ValueError, match="at least 1"):
        LocalEngine(root, 0, SilentDisplay())


def test_closing_accounts_for_all_cpu_time(root):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with LocalEngine(root, 2, SilentDisplay()) as engine:
        receipts = engine.run(Letters(3))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent >= sum(receipt.cpu_seconds for receipt in receipts)


def test_twenty_tiny_tasks(root, record_property):
    start = time.perf_counter()
    receipts = run(root, Letters(20))
    seconds = time.perf_counter() - start
    record_property("seconds", seconds)
    print(f"20 tiny tasks: {seconds:.2f} s wall, {sum(r.cpu_seconds for r in receipts):.2f} s CPU in workers")
    assert seconds < 20  # far from it; a hang is what this would catch


def test_report_of_no_receipts_is_zero():
    assert StageReport.of("x", [], 0, 1.0).peak_bytes == 0


def test_relative_root_is_taken_from_where_the_engine_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = LocalEngine(Path("here"), 1, SilentDisplay())
    monkeypatch.chdir("/")
    engine.run(Letters(1))
    assert list(files(tmp_path / "here")) == ["00000.txt"]

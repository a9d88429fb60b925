"""Two builds never write into one place of an object store, whichever machines they run on.

A store has no locks that vanish with their holder, so the build renews a small object, ``run/lock``, every few
seconds. Who finds one watches it: a lock that is renewed is held, and the build ends with an error; one that stays the
same for a minute is left from a build that was killed, and is taken over. So no two clocks are compared. On the machine
where the killed build ran nobody has to wait, because that machine's own lock (``lock.py``) has shown that it is gone.

The object is made and replaced under conditions (``If-None-Match``, ``If-Match``) where the store is S3, so that of two
builds that try at once one has it; elsewhere it is written, and read again after a while. A build that finds its lock
in other hands, because it was suspended for longer than that, ends itself.
"""

import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from upath import UPath

from mixer import storage
from mixer.errors import UsageError
from mixer.uploads import is_s3

LOCK = "run/lock"
"""The object, relative to the build directory."""
RENEW_SECONDS = 10.0
"""How often a lock is renewed."""
LEASE_SECONDS = 60.0
"""How long a lock must have stayed the same until it is taken over."""
SETTLE_SECONDS = 2.0
"""How long after writing a lock it is read again, in a store without conditions."""
_REFUSALS = ("PreconditionFailed", "ConditionalRequestConflict")
"""What S3 calls a condition that does not hold, and two that were asked for at once."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``run/lock``.

    ``holder`` names the build, ``renewed`` counts. ``place`` is the same for two builds only if they use the same lock
    of one machine.
    """

    holder: str
    place: str
    process: int
    host: str
    renewed: int = 0


@contextmanager
def hold(root: UPath, local_lock: Path) -> Iterator[None]:
    """Hold the lock of a root in a store; this machine's own lock of it, the file ``local_lock``, is held.

    Raises
    ------
    UsageError
        Another build holds it, or the store cannot be written to.
    """
    lease = _Lease(root, _place(local_lock))
    lease.acquire()
    stop = threading.Event()
    renewing = threading.Thread(target=lease.renew_until, args=(stop,), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        stop.set()
        renewing.join()
        lease.release()


def _place(local_lock: Path) -> str:
    """Name a lock file of this machine, as long as the machine runs."""
    status = local_lock.stat()
    boot = _BOOT.read_text().strip() if _BOOT.exists() else socket.gethostname()
    return f"{boot}:{status.st_dev}:{status.st_ino}"


class _Lease:
    """One build's hold of ``run/lock``."""

    def __init__(self, root: UPath, place: str) -> None:
        self._root = root
        self._path = root / LOCK
        self._mine = Lock(holder=uuid.uuid4().hex, place=place, process=os.getpid(), host=socket.gethostname())

    def acquire(self) -> None:
        while True:
            found, version = self._read()
            if found is not None and found.place != self._mine.place:
                self._watch(found, version)
            if self._write(self._mine, version):
                return

    def renew_until(self, stop: threading.Event) -> None:
        """Renew the lock again and again; end the process if it is lost."""
        failing = 0.0
        while not stop.wait(RENEW_SECONDS):
            try:
                found, version = self._read()
                self._mine = msgspec.structs.replace(self._mine, renewed=self._mine.renewed + 1)
                if self._is_mine(found) and not self._write(self._mine, version):
                    found, _ = self._read()  # a renewal whose answer was lost is sent again, and then refused
                lost = not self._is_mine(found)
            except Exception as error:  # the store does not answer: for how long may that be?
                failing = failing or time.monotonic()
                lost = time.monotonic() - failing > LEASE_SECONDS
                reason = f"could not be renewed for {LEASE_SECONDS:.0f} seconds ({type(error).__name__}: {error})"
            else:
                failing, reason = 0.0, "is in other hands"
            if lost and not stop.is_set():
                print(f"error: the lock {self._path} {reason}: this build ends itself", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def release(self) -> None:
        """Remove the lock, if it is still ours; what fails here is found by the next build."""
        with contextlib.suppress(Exception):
            found, _ = self._read()
            if self._is_mine(found):
                storage.remove([self._path])

    def _watch(self, found: Lock, version: str | None) -> None:
        """Wait until a lock that another machine left has not been renewed for long enough.

        Raises
        ------
        UsageError
            It is renewed.
        """
        until = time.monotonic() + LEASE_SECONDS
        print(
            f"note: {self._path} is held by process {found.process} on {found.host}; waiting for up to "
            f"{LEASE_SECONDS:.0f} seconds to see whether it is alive",
            file=sys.stderr,
            flush=True,
        )
        while time.monotonic() < until:
            time.sleep(min(1.0, LEASE_SECONDS / 10))
            now, _ = self._read()
            if now is None:
                return
            if now != found:
                raise UsageError(
                    f"another build is writing to {self._root}: process {now.process} on {now.host}",
                    "wait until it has ended, stop it, or choose another directory with --out",
                )

    def _is_mine(self, found: Lock | None) -> bool:
        return found is not None and found.holder == self._mine.holder

    def _read(self) -> tuple[Lock | None, str | None]:
        """Return the lock that is there, and the version of the object; one that nobody can read counts as none."""
        try:
            version = self._path.fs.info(self._path.path).get("ETag")
            return msgspec.json.decode(storage.read(self._path), type=Lock), version
        except FileNotFoundError:
            return None, None
        except msgspec.DecodeError:
            return None, version

    def _write(self, lock: Lock, version: str | None) -> bool:
        """Write the lock over the version that was read (None: where there was none); False if that is gone."""
        content = msgspec.json.encode(lock)
        if is_s3(self._path):
            condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
            bucket, _, key = self._path.path.partition("/")
            try:
                self._path.fs.call_s3("put_object", Bucket=bucket, Key=key, Body=content, **condition)
            except FileNotFoundError:
                return False
            except OSError as error:
                if any(word in repr(error.__cause__) for word in _REFUSALS):
                    return False
                if error.errno != errno.ENOSYS:
                    raise
            else:
                return True
        storage.write(self._path, content)
        if lock.renewed == 0:
            time.sleep(SETTLE_SECONDS)
        found, _ = self._read()
        return self._is_mine(found)

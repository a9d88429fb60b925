"""An object store in memory, for tests that need none of its speed or size: every test gets a root of its own."""

import uuid

from upath import UPath

from mixer import storage


def memory() -> UPath:
    root = storage.at(f"memory://{uuid.uuid4().hex}/mix")
    assert not storage.is_local(root)
    return root

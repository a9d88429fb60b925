"""What tests of several rooms share: a small recipe, a server that many builds use, and megatron-core."""

import signal
import warnings
from types import SimpleNamespace

import pytest

from mixer.engine import server
from tests.small import Small
from tests.tokenize.conftest import train

# A shell without job control starts what it puts in the background with SIGINT ignored, which children inherit; tests
# of interruption send it to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def small_tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train().save(str(path))
    return path


@pytest.fixture
def small(tmp_path, small_tokenizer):
    return Small(tmp_path, small_tokenizer)


@pytest.fixture(scope="module")
def kept_server():
    """Let the builds of a module share the fork server: each saves the second in which it imports everything."""
    stop = server.stop
    server.stop = lambda: None
    yield
    server.stop = stop
    stop()


@pytest.fixture(scope="module")
def core():
    """Import megatron-core, with warnings as they come."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("megatron.core", reason="needs the extra `train`")
        from megatron.core.datasets import blended_megatron_dataset_builder as blend
        from megatron.core.datasets import gpt_dataset, helpers, indexed_dataset, utils
    return SimpleNamespace(blend=blend, gpt=gpt_dataset, helpers=helpers, indexed=indexed_dataset, utils=utils)


@pytest.fixture(scope="module")
def one_rank(core, tmp_path_factory):
    """Megatron's cache needs a process group: one rank is enough."""
    import torch

    store = f"file://{tmp_path_factory.mktemp('group')}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()

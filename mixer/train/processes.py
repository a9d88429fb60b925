"""The processes of a run: their groups, their device, and who speaks for them.

Started by torchrun, a process finds its place in the environment; started alone, it is the only one.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
from megatron.core import parallel_state
from megatron.core.tensor_parallel import model_parallel_cuda_manual_seed
from torch._C._distributed_c10d import HashStore

from mixer.errors import MixerError
from mixer.train.cpu import cuda_on_cpu

T = TypeVar("T")


def world_size() -> int:
    """Return how many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def processes(tp: int, pp: int, seed: int, *, gpu: bool = True) -> Iterator[torch.device]:
    """Set the process groups up, yield this process's device, and take everything down again.

    Without ``gpu`` the device is the CPU, also where there are GPUs.
    """
    cuda = gpu and torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    with contextlib.nullcontext() if cuda else cuda_on_cpu():
        if cuda:
            torch.cuda.set_device(device)
        single: dict[str, Any] = {"store": HashStore(), "rank": 0, "world_size": 1}
        torch.distributed.init_process_group(
            "nccl" if cuda else "gloo",
            timeout=timedelta(minutes=60),  # the first process may be building indices for long
            **({} if world_size() > 1 else single),
        )
        try:
            parallel_state.initialize_model_parallel(tp, pp)
            torch.manual_seed(seed)
            model_parallel_cuda_manual_seed(seed)
            yield device
        finally:
            parallel_state.destroy_model_parallel()
            torch.distributed.destroy_process_group()


def on_first(work: Callable[[], T]) -> T:
    """Do something on the first process alone and hand what it returns to all; an error ends all of them.

    The first process raises the error; the others end quietly with its exit code.
    """
    box: list[Any] = [None, None]
    failure: MixerError | None = None
    if is_first():
        try:
            box[0] = work()
        except MixerError as error:
            failure, box[1] = error, error.exit_code
    torch.distributed.broadcast_object_list(box, src=0)
    if failure is not None:
        raise failure
    if box[1] is not None:
        raise SystemExit(box[1])
    made: T = box[0]
    return made


def summed(values: torch.Tensor) -> torch.Tensor:
    """Add a tensor up over all processes, in place."""
    torch.distributed.all_reduce(values)
    return values

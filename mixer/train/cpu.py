"""Runs megatron-core without a GPU, over gloo: for trial runs and tests, never for training in earnest.

megatron-core names CUDA in places that no setting reaches: buffers made with ``device="cuda"``, tensor types compared
with ``torch.cuda.FloatTensor``, the random state of a GPU. Inside ``cuda_on_cpu`` those calls reach the CPU, so that
the very same training code runs. What it shows is logic and collectives, not how CUDA behaves; every new version of
megatron-core has to be tried again (the tests of ``mixer.train`` do).
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from megatron.core.tensor_parallel import random as parallel_random
from torch.overrides import TorchFunctionMode

_CPU = torch.device("cpu")


def _is_cuda(device: object) -> bool:
    return isinstance(device, int) or (isinstance(device, str | torch.device) and torch.device(device).type == "cuda")


class _CudaOnCpu(TorchFunctionMode):
    """Sends every tensor that is wanted on a GPU to the CPU, and names its type as on a GPU."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.cuda:
            return args[0]
        if kwargs.get("device") is not None and _is_cuda(kwargs["device"]):
            kwargs = {**kwargs, "device": _CPU}
        if func is torch.Tensor.to and len(args) > 1 and isinstance(args[1], str | torch.device) and _is_cuda(args[1]):
            args = (args[0], _CPU, *args[2:])
        made = func(*args, **kwargs)
        if func is torch.Tensor.type and isinstance(made, str):
            return made.replace("torch.", "torch.cuda.", 1)
        return made


@contextlib.contextmanager
def cuda_on_cpu() -> Iterator[None]:
    """Let megatron-core find a CPU wherever it asks for a GPU."""
    changes: dict[str, Any] = {
        "current_device": lambda: _CPU,
        "synchronize": lambda *_: None,
        "empty_cache": lambda: None,
        "manual_seed": torch.manual_seed,
        "get_rng_state": lambda *_: torch.get_rng_state(),
    }
    with contextlib.ExitStack() as stack:
        for name, change in changes.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, change))
        state = mock.patch.object(parallel_random, "_get_cuda_rng_state", lambda *_, **__: torch.get_rng_state())
        stack.enter_context(state)
        restore = mock.patch.object(
            parallel_random, "_set_cuda_rng_state", lambda new_state, *_, **__: torch.set_rng_state(new_state)
        )
        stack.enter_context(restore)
        stack.enter_context(_CudaOnCpu())
        yield

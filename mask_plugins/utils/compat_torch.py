# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What older versions of torch have in another way, or not at all.

Each entry names the version that makes it unnecessary. Supported are torch 2.1
and newer.
"""

import functools
import time
from typing import Any, Callable, Optional

import torch
import torch.distributed as dist
from torch.torch_version import TorchVersion

TORCH = TorchVersion(torch.__version__)
# 2.6: before 2.4, compiled code reads ``module.weight`` past the property that
# applies its mask, and so computes the network without masks; 2.5.1 refuses
# what opens a scope and the masks' backward functions. 2.6 to 2.10 were not
# tried.
COMPILES_MASKS = TORCH >= (2, 6)
# 2.2: before, streams on a CPU take no arguments, and FSDP gives them some.
# Tried with 2.11; 2.2 to 2.10 were not.
SHARDS_ON_CPU = TORCH >= (2, 2)
# Comparing versions takes longer than what these decide about.
_NAMED_AUTOCAST = TORCH >= (2, 4)
_NANOSECONDS = TORCH >= (2, 4)


def is_compiling() -> bool:
    """Whether ``torch.compile`` traces this; 2.6.

    Examples:
        >>> is_compiling()
        False
    """
    # Before 2.6 nothing that asks is ever traced.
    return COMPILES_MASKS and torch.compiler.is_compiling()


def run_eagerly(function: Callable) -> Callable:
    """A function that ``torch.compile`` leaves alone where it is wrong; 2.6.

    Examples:
        >>> run_eagerly(abs)(-1)
        1
    """
    if COMPILES_MASKS:
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # Not `disable(function)`: what is disabled as a method of a module
        # becomes a node of the graph, and is run to be traced.
        return _disabled()(function, args, kwargs)

    return call


@functools.lru_cache(None)
def _disabled() -> Callable:
    # Here: it imports the compiler.
    return torch.compiler.disable(lambda call, a, k: call(*a, **k))


def autocast_dtype(device_type: str) -> Optional[torch.dtype]:
    """What autocast computes in, None where it is off; 2.4.

    Examples:
        >>> with torch.autocast('cpu', torch.bfloat16):
        ...     autocast_dtype('cpu')
        torch.bfloat16
    """
    if _NAMED_AUTOCAST:
        on = torch.is_autocast_enabled(device_type)
        return torch.get_autocast_dtype(device_type) if on else None
    if device_type == 'cpu':
        on = torch.is_autocast_cpu_enabled()
        return torch.get_autocast_cpu_dtype() if on else None
    on = torch.is_autocast_enabled()
    return torch.get_autocast_gpu_dtype() if on else None


def event_start(event: Any) -> int:
    """When an event of the profiler began, in units of the version; 2.4."""
    return event.start_ns() if _NANOSECONDS else event.start_us()


class StepWatch:
    """Calls back after, or before, each step of an optimizer; 2.3.

    Before, a process that has compiled anything loses the hooks of
    ``register_step_post_hook`` and ``register_step_pre_hook``, and so this
    wraps the method of the instance.

    Args:
        optimizer (Optimizer): Is watched until :meth:`remove`.
        callback (Callable): Is called with the optimizer, and the arguments
            of the step as a tuple and a dict.
        before (bool): Call before the step. Defaults to False.

    Examples:
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> watch = StepWatch(optimizer, lambda *args: print('stepped'))
        >>> optimizer.step()
        stepped
        >>> watch.remove()
    """

    def __init__(
        self, optimizer: Any, callback: Callable, before: bool = False
    ) -> None:
        if TORCH >= (2, 3):
            register = (
                optimizer.register_step_pre_hook
                if before
                else optimizer.register_step_post_hook
            )
            self.remove = register(callback).remove
            return
        step = optimizer.step

        def stepped(*args: Any, **kwargs: Any) -> Any:
            if before:
                callback(optimizer, args, kwargs)
                return step(*args, **kwargs)
            result = step(*args, **kwargs)
            callback(optimizer, args, kwargs)
            return result

        optimizer.step = stepped
        self.remove = lambda: setattr(optimizer, 'step', step)


def leave_process_group() -> None:
    """End the default process group, if there is one; 2.6.

    In 2.1 (seen in a dump of its stack) the group's destructor waits for a
    thread of gloo with Python's lock held, and the thread for the lock, to
    free the tensors of its last collective. So it is given the time to.

    Examples:
        >>> leave_process_group()  # there is none
    """
    if dist.is_available() and dist.is_initialized():
        if TORCH < (2, 6):
            time.sleep(0.5)  # gives the lock away
        dist.destroy_process_group()

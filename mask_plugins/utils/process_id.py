# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which process was it, and is it still there?

The number of a process says little: it is given to a new one sooner or later,
and each container counts from 1 in a namespace of its own, often under the
host name of its node. So the start of the process, the boot of the machine
and the namespace are noted as well.
"""

import os
import re
import socket
import subprocess
from typing import Any, Dict, Mapping, Optional

# Of the namespace that sees all processes of a machine: a constant of Linux.
_FIRST_NAMESPACE = 'pid:[4026531836]'


def process_id() -> Dict[str, Any]:
    """What tells this process from all others, as JSON has it.

    Returns:
        dict: ``host``, ``boot`` and ``namespace`` (None where the system has
        no such thing), ``pid`` and ``process_start``.

    Examples:
        >>> is_alive(process_id())
        True
    """
    return dict(
        host=socket.gethostname(),
        boot=_boot(),
        namespace=_namespace('self'),
        pid=os.getpid(),
        process_start=process_start(os.getpid()),
    )


def is_alive(process: Mapping[str, Any]) -> Optional[bool]:
    """Whether a process still runs.

    Args:
        process (Mapping): From :func:`process_id`. Without ``boot``, the host
            is compared.

    Returns:
        bool, optional: None if that cannot be seen from here: the process
        belongs to another machine, or to a container that is closed to this
        one.

    Examples:
        >>> is_alive(dict(process_id(), process_start='1'))
        False
        >>> is_alive(dict(process_id(), host='elsewhere', boot='other'))
    """
    boot, here = process.get('boot'), _boot()
    same_host = process.get('host') == socket.gethostname()
    if boot is None or here is None:
        if not same_host:
            return None
    elif boot != here:
        # Started again, a machine has none of its processes any more.
        return False if same_host else None
    namespace, pid = process.get('namespace'), process.get('pid')
    mine = _namespace('self')
    if namespace is not None and mine is not None and namespace != mine:
        pid = _outer_pid(namespace, pid)
        if pid is None:
            return False if mine == _FIRST_NAMESPACE else None
    start = process_start(pid)
    return start is not None and process.get('process_start') == start


def process_start(pid: Any) -> Optional[str]:
    """When a process began, as the system writes it; None if it has ended.

    Args:
        pid (Any): Number of the process; anything else is not one.

    Examples:
        >>> process_start(os.getpid()) == process_start(os.getpid())
        True
        >>> process_start(-1), process_start('abc'), process_start(True)
        (None, None, None)
    """
    if type(pid) is not int or not 0 < pid < 1 << 31:
        return None
    try:
        with open(f'/proc/{pid}/stat', encoding='latin-1') as file:
            # The name, in brackets, may have blanks and brackets itself.
            fields = file.read().rpartition(')')[2].split()
        # A zombie has ended; its parent has not asked for its exit code.
        return None if fields[0] in 'ZX' else fields[19]
    except FileNotFoundError:
        if os.path.isdir('/proc/self'):
            return None
    except OSError:  # it ended while it was read
        return None
    found = subprocess.run(
        ['ps', '-o', 'lstart=', '-p', str(pid)], capture_output=True, text=True
    )
    return found.stdout.strip() or None


def _boot() -> Optional[str]:
    """The boot of this machine; a container has that of its node."""
    try:
        with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
            return file.read().strip()
    except OSError:
        return None


def _namespace(pid: Any) -> Optional[str]:
    try:
        return os.readlink(f'/proc/{pid}/ns/pid')
    except OSError:
        return None


def _outer_pid(namespace: str, inner: Any) -> Optional[int]:
    """The number that a process of another namespace has in this one."""
    for pid in filter(str.isdigit, os.listdir('/proc')):
        if _namespace(pid) == namespace:
            try:
                with open(f'/proc/{pid}/status', encoding='latin-1') as file:
                    numbers = re.search(r'^NSpid:(.*)$', file.read(), re.M)
            except OSError:  # it ended meanwhile
                continue
            if numbers and numbers[1].split()[-1:] == [str(inner)]:
                return int(pid)
    return None

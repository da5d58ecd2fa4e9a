# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Room on a disk, and sizes of files."""

import errno
import shutil

# Full disk, used-up quota, and a limit on the size of files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full(error: BaseException) -> bool:
    """Whether an error means that there was no room to write.

    Examples:
        >>> is_full(OSError(errno.ENOSPC, 'full')), is_full(ValueError())
        (True, False)
    """
    return isinstance(error, OSError) and error.errno in _FULL


def free_space(folder: str) -> str:
    """How much is free, as text; a quota may allow less than that.

    Examples:
        >>> free_space('a/folder/that/does/not/exist')
        'an unknown amount'
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return 'an unknown amount'
    return readable_size(free)


def readable_size(size: float) -> str:
    """A number of bytes as text.

    Examples:
        >>> readable_size(12345678)
        '12.3 MB'
    """
    for unit in ('B', 'kB', 'MB', 'GB'):
        if size < 1000:
            return f'{size:.0f} B' if unit == 'B' else f'{size:.1f} {unit}'
        size /= 1000
    return f'{size:.1f} TB'

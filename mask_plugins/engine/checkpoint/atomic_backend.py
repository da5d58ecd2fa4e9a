# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""mmengine's local storage, whose files appear whole or not at all."""

from typing import BinaryIO

from mmengine.fileio import LocalBackend, register_backend

from mask_plugins.utils.checks import PathLike
from mask_plugins.utils.files import replace_atomically

ATOMIC = 'mask_plugins.atomic'


@register_backend(ATOMIC, force=True)
class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend with writes that a kill cannot halve.

    A file is written by :func:`mask_plugins.utils.files.replace_atomically`.
    In configs: ``backend_args=dict(backend='mask_plugins.atomic')``.

    Examples:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     AtomicLocalBackend().put(b'weights', f'{folder}/new/a.pth')
        ...     print(os.listdir(f'{folder}/new'))
        ['a.pth']
    """

    def put(self, obj: bytes, filepath: PathLike) -> None:
        """Write bytes; the folder is created if missing."""
        with replace_atomically(filepath) as part, open(part, 'wb') as file:
            self._write(file, obj)

    def put_text(
        self, obj: str, filepath: PathLike, encoding: str = 'utf-8'
    ) -> None:
        """Write text; the folder is created if missing."""
        self.put(obj.encode(encoding), filepath)

    def _write(self, file: BinaryIO, obj: bytes) -> None:
        file.write(obj)

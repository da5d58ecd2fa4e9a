# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Local files that are either the old ones or the new ones, never half."""

import os
from pathlib import Path
from typing import BinaryIO, List, Union

from mmengine.fileio import LocalBackend, register_backend

ATOMIC = 'mask_plugins.atomic'
_SUFFIX = '.mask_plugins-tmp'


@register_backend(ATOMIC, force=True)
class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend with writes that a kill cannot halve.

    A file is written beside its place under another name, flushed to the
    disk and renamed, which POSIX makes atomic. When the write fails, nothing
    is left of it and the old file stays.

    In configs: ``backend_args=dict(backend='mask_plugins.atomic')``.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write bytes; the folder is made if it does not exist.

        Args:
            obj (bytes): The content.
            filepath (str | Path): The place.

        Raises:
            OSError: If the disk is full, for example.
        """
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f'.{path.name}.{os.getpid()}{_SUFFIX}'
        try:
            with open(temporary, 'wb') as file:
                self._write(file, obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise OSError(
                error.errno,
                f'could not write {path} ({error.strerror}); what was there '
                'before is untouched',
            ) from error
        finally:
            if temporary.exists():
                temporary.unlink()
        _sync_folder(path.parent)

    def put_text(
        self,
        obj: str,
        filepath: Union[str, Path],
        encoding: str = 'utf-8',
    ) -> None:
        """Write text; the folder is made if it does not exist."""
        self.put(obj.encode(encoding), filepath)

    def _write(self, file: BinaryIO, obj: bytes) -> None:
        file.write(obj)


def remove_leftovers(folder: Union[str, Path]) -> List[str]:
    """Remove what killed writers of :class:`AtomicLocalBackend` left.

    Args:
        folder (str | Path): Where to look; it need not exist.

    Returns:
        list[str]: The files that were removed.
    """
    leftovers = sorted(Path(folder).glob(f'.*{_SUFFIX}'))
    for path in leftovers:
        path.unlink()
    return [str(path) for path in leftovers]


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last; not every file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)

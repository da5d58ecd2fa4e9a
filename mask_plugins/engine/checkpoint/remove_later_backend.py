# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Let a caller replace before it removes."""

from typing import Any, List


class RemoveLaterBackend:
    """A file backend that only notes what it is told to remove.

    mmengine removes the previous best checkpoint before it writes the new
    one, and a kill between the two leaves none.

    Args:
        backend (Any): The backend that does everything else.

    Attributes:
        paths (list[str]): What is to be removed.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.paths: List[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        """Note a file."""
        self.paths.append(path)

    rmtree = remove

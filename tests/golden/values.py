# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The golden values: where they lie, and the keys that no test compares.

Values that the original implementations produced. ``MASK_PLUGINS_GOLDEN``
names another directory with files of the same keys.
"""

import json
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Dict, Iterator

VARIABLE = 'MASK_PLUGINS_GOLDEN'
BUNDLED = Path(__file__).parent / 'data'
# These say where the values come from.
NOTES = ('meta', '_meta', '_env', '_fill', 'prune_note')


def directory() -> Path:
    """Where the values are read from."""
    return Path(os.environ.get(VARIABLE) or BUNDLED)


def files() -> Dict[str, Dict[str, Any]]:
    """File name without suffix -> its keys and values."""
    return {
        path.stem: json.loads(path.read_text(encoding='utf-8'))
        for path in sorted(directory().glob('*.json'))
    }


def matching(file: str, pattern: str) -> Iterator:
    """The keys of a file that fit a pattern, with their values."""
    for key, value in files().get(file, {}).items():
        if fnmatchcase(key, pattern):
            yield key, value

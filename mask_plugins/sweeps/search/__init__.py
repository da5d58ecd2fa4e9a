# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A search whose trials are runs that can be stopped and resumed.

Optuna draws the settings (ask) and hears the results (tell). Nothing of a
search is in the memory of a process: the journal of optuna, the record of
each trial and the logs of its run say how far it is.
"""

from .axis import Axis
from .spec import SearchSpec, read_search, write_search

__all__ = [
    'Axis',
    'SearchSpec',
    'read_search',
    'write_search',
]

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Warnings of other packages that nobody can act on."""

import re
import warnings
from typing import Any

# What each says; the pinned versions of the packages still say it.
KNOWN = (
    r'.*pkg_resources is deprecated',  # mim and mmcv import it
    r'.*Fail to import ``MultiScaleDeformableAttention``',  # mmcv-lite
    r'.*`TorchScript` support for functional optimizers',  # torch before 2.6
)


def hide_known_warnings() -> None:
    """Ignore them; for the entry points of this package.

    Examples:
        >>> with warnings.catch_warnings(record=True) as seen:
        ...     warnings.simplefilter('always')
        ...     hide_known_warnings()
        ...     warnings.warn('pkg_resources is deprecated as an API.')
        ...     warnings.warn('the learning rate is 0')
        >>> [str(warning.message) for warning in seen]
        ['the learning rate is 0']
    """
    show = warnings.showwarning
    if hasattr(show, 'hides_known'):
        return

    # Not a filter: torch shows its own whatever the filters are.
    def show_others(message: Any, *args: Any, **kwargs: Any) -> None:
        if not any(re.match(known, str(message)) for known in KNOWN):
            show(message, *args, **kwargs)

    show_others.hides_known = True  # once is enough
    warnings.showwarning = show_others

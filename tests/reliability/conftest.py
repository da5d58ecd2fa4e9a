# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Count what was tried, and say it at the end."""

from collections import Counter

import pytest

COUNTS = Counter()


@pytest.fixture
def figures():
    """Counts of this run of pytest, by what was tried."""
    return COUNTS


def pytest_sessionfinish(session):
    if hasattr(session.config, 'workeroutput'):  # one process of xdist
        session.config.workeroutput['reliability'] = dict(COUNTS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    COUNTS.update(getattr(node, 'workeroutput', {}).get('reliability', {}))


def pytest_terminal_summary(terminalreporter):
    for what, count in COUNTS.items():
        terminalreporter.write_line(f'reliability: {count:,} {what}')

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Pages that show a file of the repository, and links out of the pages.

A page may contain

    ```{include} ../configs/pss/README.md
    ```

which shows that file, so that it reads the same on a code host and here. Links
are written for the file; on a page they lead to the page of the target where
there is one, else to the code host if its address is known, else nowhere: the
text stays. A target that does not exist is a warning, so `make docs` fails.
"""

import os
import re
from pathlib import Path

from sphinx.util import logging

ROOT = Path(__file__).resolve().parents[2]
LOGGER = logging.getLogger(__name__)
INCLUDE = re.compile(r'^```\{include\} (\S+)\n```$', re.M)
LINK = re.compile(r'(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)')
FENCED = re.compile(r'(^```.*?^```)', re.M | re.S)


def pages_of(docs):
    """The page of each file that a page shows: path to path."""
    found = {}
    for page in docs.rglob('*.md'):
        found[page] = page
        for path in INCLUDE.findall(page.read_text(encoding='utf-8')):
            found[(page.parent / path).resolve()] = page
    root = docs.parent / 'README.md'
    found[root] = docs / 'index.md'
    return found


def host_address():
    """Where the files can be read, without a slash at the end, or ''."""
    url = os.environ.get('READTHEDOCS_GIT_CLONE_URL', '')
    return url.removesuffix('.git') if url.startswith('https://') else ''


def rewrite(text, file, page, pages):
    """The text of ``file`` as shown on ``page``."""

    def link(match):
        picture, label, target = match.groups()
        path, hash_, anchor = target.partition('#')
        if '://' in target or target.startswith('mailto:') or not path:
            return match.group()
        goal = (file.parent / path).resolve()
        if not goal.exists():
            LOGGER.warning('%s: no file %s', file, path)
            return match.group()
        shown = pages.get(goal)
        if picture or shown:
            path = os.path.relpath(shown or goal, page.parent)
            return f'{picture}[{label}]({path}{hash_}{anchor})'
        host = host_address()
        inside = os.path.relpath(goal, ROOT)
        kind = 'tree' if goal.is_dir() else 'blob'
        return f'[{label}]({host}/{kind}/main/{inside})' if host else label

    parts = FENCED.split(text)  # at odd places: code, where nothing is a link
    parts[::2] = [LINK.sub(link, part) for part in parts[::2]]
    return ''.join(parts)


def read(app, docname, source):
    """Put the files in, and rewrite the links."""
    docs = Path(app.srcdir).resolve()
    page = docs / f'{docname}.md'
    pages = pages_of(docs)
    text = rewrite(source[0], page, page, pages)
    for path in INCLUDE.findall(text):
        file = (page.parent / path).resolve()
        app.env.note_dependency(str(file))
        body = rewrite(file.read_text(encoding='utf-8'), file, page, pages)
        text = text.replace(f'```{{include}} {path}\n```', body)
    source[0] = text


def setup(app):
    """Register with Sphinx."""
    app.connect('source-read', read)
    return dict(parallel_read_safe=True)

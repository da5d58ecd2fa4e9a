# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How Sphinx builds the pages: `make docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs' / '_ext')]

from mask_plugins.utils.known_warnings import (  # noqa: E402
    hide_known_warnings,
)
from mask_plugins.version import __version__  # noqa: E402

hide_known_warnings()

project = 'mask_plugins'
author = 'mask_plugins contributors'
copyright = author
release = version = __version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
    'repository_pages',
    'type_table',
]
exclude_patterns = ['_ext', 'figures', 'results/*.json']
myst_heading_anchors = 4
suppress_warnings = ['toc.empty_glob']
myst_enable_extensions = ['colon_fence']

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # the docstrings have the types
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True


def skip_hook_points(app, what, name, item, skip, options):
    """Leave out what the runner calls: the class says what a hook does."""
    return True if name.startswith(('before_', 'after_')) else skip


def setup(app):
    """Register with Sphinx."""
    app.connect('autodoc-skip-member', skip_hook_points)


html_theme = 'furo'
html_title = f'mask_plugins {version}'
html_static_path = ['_static']
html_css_files = ['wide_tables.css']
copybutton_exclude = '.linenos, .gp, .go'

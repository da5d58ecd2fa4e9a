# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A report as one HTML file: tables, pictures, the command."""

import base64
import html
import io
from typing import Any, List, Sequence

import matplotlib
from matplotlib.figure import Figure

from mask_plugins.utils.checks import PathLike
from mask_plugins.utils.files import write_atomically

from .figure import STYLE

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto;
  padding: 0 1em; color: #111; background: #fff; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 1em 0; }}
caption {{ text-align: left; font-weight: bold; }}
th, td {{ padding: 0.2em 0.7em; text-align: right;
  border-bottom: 1px solid #ccc; }}
th:first-child, td:first-child {{ text-align: left; }}
img {{ max-width: 100%; }}
pre {{ overflow-x: auto; background: #f3f3f3; padding: 0.7em; }}
</style>
</head>
<body>
<h1>{title}</h1>
{parts}
</body>
</html>
"""


class HtmlReport:
    """Collect tables and pictures, then write them as one file.

    The file needs no other: pictures are SVG inside it, and it has no
    script. All text is escaped.

    Args:
        title (str): The heading.
        command (str): The command line that makes the report again.

    Examples:
        >>> import os, tempfile
        >>> report = HtmlReport('Two runs', 'python tools/x.py a b')
        >>> report.add_table(['run', 'top-1'], [['a <b>', None]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = report.save(os.path.join(folder, 'report.html'))
        ...     'a &lt;b&gt;' in open(path).read()
        True
    """

    def __init__(self, title: str, command: str) -> None:
        self.title = title
        self._parts: List[str] = []
        self._parts.append(f'<pre>{html.escape(command)}</pre>')

    def add_table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        caption: str = '',
    ) -> None:
        """Add a table; the first column is text, the others are numbers.

        Args:
            columns (Sequence[str]): Their names.
            rows (Sequence[Sequence]): The cells; None is shown as ``-``.
            caption (str): Defaults to none.
        """
        lines = [f'<caption>{html.escape(caption)}</caption>'] * bool(caption)
        lines.append(_row('th', columns))
        lines += [_row('td', row) for row in rows]
        table = '\n'.join(lines)
        self._parts.append(
            f'<div class="wide"><table>\n{table}\n</table></div>'
        )

    def add_figure(self, figure: Figure, caption: str) -> None:
        """Add a picture.

        Args:
            figure (Figure): Drawn as SVG.
            caption (str): What it shows, also for those who cannot see it.
        """
        file = io.BytesIO()
        # The same figure gives the same bytes.
        options = {**STYLE, 'svg.hashsalt': 'mask_plugins'}
        with matplotlib.rc_context(options):
            figure.savefig(file, format='svg', metadata=dict(Date=None))
        data = base64.b64encode(file.getvalue()).decode()
        text = html.escape(caption)
        self._parts.append(
            f'<figure><img alt="{text}" '
            f'src="data:image/svg+xml;base64,{data}">'
            f'<figcaption>{text}</figcaption></figure>'
        )

    def add_notes(self, notes: Sequence[str]) -> None:
        """Add a list of remarks, if there are any."""
        if notes:
            items = ''.join(f'<li>{html.escape(note)}</li>' for note in notes)
            self._parts.append(f'<ul>{items}</ul>')

    def save(self, path: PathLike) -> str:
        """Write the file, whole or not at all.

        Returns:
            str: ``path``.
        """
        page = PAGE.format(
            title=html.escape(self.title), parts='\n'.join(self._parts)
        )
        return write_atomically(path, page)


def _row(cell: str, values: Sequence[Any]) -> str:
    cells = [
        f'<{cell}>{html.escape("-" if value is None else str(value))}</{cell}>'
        for value in values
    ]
    return f'<tr>{"".join(cells)}</tr>'

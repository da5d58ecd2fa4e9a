# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Top-1 against the bytes that a task stores, from the table of a README.

python demo/accuracy_storage.py --out outputs/accuracy_storage.png
"""

import argparse
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / 'configs' / 'self_masking' / 'README.md'
ROW = re.compile(
    r'^\| `(?P<method>smn|finetune|linear-probe)_resnet18-narrow\S+` \| '
    r'(?P<data>[^|]+) \| (?P<top1>[\d.]+)( ± (?P<spread>[\d.]+))? \| '
    r'[^|]+ \| (?P<bytes>[\d,]+) bytes',
    re.M,
)
NAMES = {'smn': 'masks', 'finetune': 'fine-tuning'}


def read_rows(text: str) -> dict:
    """Data to its rows: bytes, top-1, spread and method, by bytes."""
    found: dict = {}
    for row in ROW.finditer(text):
        size = int(row['bytes'].replace(',', ''))
        spread = row['spread'] and float(row['spread'])
        point = size, float(row['top1']), spread, row['method']
        found.setdefault(row['data'], []).append(point)
    return {data: sorted(rows) for data, rows in found.items()}


def draw(found: dict):
    """A figure: a line per data set; only means over seeds have bars."""
    # Here, so that --help does not wait for it.
    from mask_plugins.visualization import figure as style

    return style.styled(_draw)(found, style)


def _draw(found, style):
    figure = style.new_figure(6.2, 3.6)
    axes = figure.subplots()
    for number, (data, rows) in enumerate(found.items()):
        sizes, top1, spreads, methods = zip(*rows)
        seeds = 'one seed' if spreads[0] is None else 'three seeds'
        bars = None if spreads[0] is None else spreads
        look = style.run_style(number, capsize=3, label=f'{data}, {seeds}')
        axes.errorbar(sizes, top1, bars, **look)
        for at, method in zip(zip(sizes, top1), methods if not number else ()):
            name = NAMES.get(method, method.replace('-', ' '))
            style.note(axes, name, at, (8, 11), fontsize=9, ha='right')
    axes.set(xscale='log', xlim=(3e2, 1e7), ylim=(70, 105))
    axes.set(xlabel='bytes stored for the task, next to the base')
    axes.set(ylabel='top-1 [%]', yticks=range(70, 101, 5))
    style.shared_legend(figure, axes)
    return figure


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--out', default='outputs/accuracy_storage.png')
    args = parser.parse_args()
    from mask_plugins.visualization.figure import save_figure

    os.makedirs(os.path.dirname(args.out) or '.', exist_ok=True)
    figure = draw(read_rows(README.read_text(encoding='utf-8')))
    print('wrote', save_figure(figure, args.out, dpi=160))


if __name__ == '__main__':
    main()

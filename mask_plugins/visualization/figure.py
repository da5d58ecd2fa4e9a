# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What all pictures share: style, axes, units, saving."""

import functools
import os
from typing import Any, Callable, Dict, Sequence, Tuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mask_plugins.utils.checks import PathLike, check_choice, check_path
from mask_plugins.utils.files import replace_atomically

FORMATS = ('png', 'pdf')
DROP_RATIO_LABEL = r'drop ratio $d$'

# Okabe and Ito's colors, which color-blind readers can tell apart.
COLORS = (
    '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9',
    '#000000', '#999933',
)  # fmt: skip
MARKERS = 'osD^vPX*'

STYLE = {
    'axes.grid': True,
    'axes.spines.right': False,
    'axes.spines.top': False,
    'axes.titlesize': 10,
    'axes.labelsize': 10,
    'figure.dpi': 100,
    'font.size': 9,
    'grid.alpha': 0.3,
    'grid.linewidth': 0.6,
    'legend.fontsize': 9,
    'legend.frameon': False,
    'lines.linewidth': 1.6,
    'pdf.fonttype': 42,  # TrueType, which publishers ask for
    'ps.fonttype': 42,
    'savefig.dpi': 300,
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a drawing function under our style, and leave no trace of it.

    Examples:
        >>> @styled
        ... def draw():
        ...     return matplotlib.rcParams['font.size']
        >>> draw()
        9.0
    """

    @functools.wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float) -> Figure:
    """A figure without a window or any global state (no pyplot).

    Args:
        width (float): Inches.
        height (float): Inches.

    Examples:
        >>> float(new_figure(4, 3).get_figwidth())
        4.0
    """
    return Figure(figsize=(width, height), layout='constrained')


def save_figure(figure: Figure, path: PathLike, dpi: int = 300) -> str:
    """Write a figure; the file appears whole or not at all.

    Args:
        figure (Figure): The figure.
        path (str | os.PathLike): Ends in ``.png`` or ``.pdf``.
        dpi (int): Dots per inch of what is not vectors. Defaults to 300.

    Returns:
        str: ``path``.

    Raises:
        ValueError: If the ending is another.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_figure(new_figure(4, 3), f'{folder}/a.png', dpi=50)
        ...     os.path.isfile(path)
        True
    """
    path = check_path('path', path)
    kind = os.path.splitext(path)[1][1:]
    check_choice(f'the ending of {path}', kind, FORMATS)
    with replace_atomically(path) as part, matplotlib.rc_context(STYLE):
        figure.savefig(part, format=kind, dpi=dpi)
    return path


def color_of(index: int) -> str:
    """Color of run number ``index``.

    Examples:
        >>> color_of(0)
        '#0072B2'
    """
    return COLORS[index % len(COLORS)]


def marker_of(index: int) -> str:
    """Marker of run number ``index``.

    Examples:
        >>> marker_of(0)
        'o'
    """
    return MARKERS[index % len(MARKERS)]


def run_style(index: int, **style) -> Dict[str, Any]:
    """Color and marker of run number ``index``, as plot keywords.

    Examples:
        >>> run_style(0, label='run')['marker']
        'o'
    """
    look = dict(color=color_of(index), marker=marker_of(index), markersize=4)
    return {**look, **style}


def draw_matrix(
    axes: Axes, values: np.ndarray, text: Callable[[int, int], str], top: float
) -> None:
    """A heat map from 0 to ``top``, each finite cell with its text.

    Examples:
        >>> axes = new_figure(4, 3).subplots()
        >>> draw_matrix(axes, np.ones((2, 2)), lambda i, j: f'{i}{j}', 1)
        >>> axes.texts[1].get_text()
        '01'
    """
    axes.imshow(values, vmin=0, vmax=top, cmap='viridis', aspect='auto')
    for i, j in np.argwhere(np.isfinite(values)):
        axes.text(
            j, i, text(i, j), ha='center', va='center', fontsize=8,
            color='white' if values[i, j] < 0.6 * top else 'black',
        )  # fmt: skip
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def shared_legend(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """Put the legend of ``axes`` below all panels, never over the data.

    Examples:
        >>> figure = new_figure(4, 3)
        >>> axes = figure.subplots()
        >>> _ = axes.plot([1, 2], label='run')
        >>> shared_legend(figure, axes)
        >>> len(figure.legends)
        1
    """
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    longest = max(len(label) for label in labels)
    # About 12 characters fit into an inch, next to the line of each entry.
    fit = int(figure.get_figwidth() * 12 // (longest + 6))
    columns = max(1, min(columns, len(labels), fit))
    figure.legend(handles, labels, loc='outside lower center', ncols=columns)


def note(axes: Axes, text: str, at: Tuple, shift: Tuple, **style) -> None:
    """Write next to a point, ``shift`` in points away from it.

    Examples:
        >>> axes = new_figure(4, 3).subplots()
        >>> note(axes, 'best', (1, 2), (0, 5))
        >>> axes.texts[0].get_text()
        'best'
    """
    style = {'ha': 'center', 'fontsize': 7.5, **style}
    axes.annotate(text, at, xytext=shift, textcoords='offset points', **style)


def as_picture(axes: Axes, spines: bool = False) -> None:
    """Take grid, ticks and, unless ``spines``, the frame off the axes.

    Examples:
        >>> axes = new_figure(4, 3).subplots()
        >>> as_picture(axes)
        >>> axes.get_xticks().tolist()
        []
    """
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(spines)


def time_unit(hours: float) -> Tuple[float, str]:
    """Factor and name of the unit in which so many hours read well.

    Examples:
        >>> time_unit(0.1)
        (60.0, 'min')
    """
    units = ((1.0, 'h'), (60.0, 'min'))
    return next((u for u in units if hours * u[0] >= 1), (3600.0, 's'))


def thin(values: Sequence, most: int = 4000) -> np.ndarray:
    """Every k-th value, the last one too, so that at most ``most`` are drawn.

    Args:
        values (Sequence): One value per iteration.
        most (int): Defaults to 4000, more than a picture has pixels.

    Examples:
        >>> thin(range(10), most=3)
        array([0, 4, 9])
    """
    values = np.asarray(values)
    if len(values) <= most:
        return values
    index = np.linspace(0, len(values) - 1, most).round().astype(int)
    return values[index]


def figure_to_image(figure: Figure, dpi: int = 100) -> np.ndarray:
    """Render a figure for a log that takes images.

    Args:
        figure (Figure): The figure.
        dpi (int): Dots per inch. Defaults to 100.

    Returns:
        np.ndarray: uint8, RGB, :math:`(H, W, 3)`.

    Examples:
        >>> figure_to_image(new_figure(4, 3)).shape
        (300, 400, 3)
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with matplotlib.rc_context(STYLE):
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(dpi)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How much the masks of a model keep, and what they cost to store."""

from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

from torch import nn

from .named_masks import check_values, named_masks


@dataclass
class MaskRow:
    """The mask of one parameter.

    Args:
        name (str): Full name of the parameter.
        shape (tuple[int]): Its shape.
        size (int): Its elements.
        kept (int): Elements that the hard mask keeps.
        soft_density (float): Mean of the mask as it is now.
        finite (bool): Whether no logit or score is NaN or infinite.

    Attributes:
        density (float): Share that the hard mask keeps.
    """

    name: str
    shape: Tuple[int, ...]
    size: int
    kept: int
    soft_density: float
    finite: bool

    def __post_init__(self) -> None:
        self.density = self.kept / self.size if self.size else 0.0


class MaskReport:
    """All masks of a model.

    Args:
        rows (list[MaskRow]): One per mask, in the order of the model.
        parameters (int): Elements of all parameters of the model, masks left
            out.

    Attributes:
        size, kept (int): Masked elements, and those of them that are kept.
        density, sparsity (float): Shares of the masked elements that are kept
            and removed (hard).
        soft_density (float): Mean of all masks as they are now.
        density_of_model (float): Share kept of all parameters, unmasked ones
            included.
        empty (list[str]): Names of parameters of which nothing is kept.
        not_finite (list[str]): Names of parameters whose logits or scores
            have NaN or infinity.
        packed_bytes (int): Of the masks at one bit per element.
        float_bytes (int): Of the masked weights in float32.

    Examples:
        >>> row = MaskRow('fc.weight', (2, 4), 8, 6, 0.7, True)
        >>> report = MaskReport([row], parameters=10)
        >>> report.density, report.sparsity, report.density_of_model
        (0.75, 0.25, 0.8)
    """

    def __init__(self, rows: List[MaskRow], parameters: int) -> None:
        self.rows = rows
        self.parameters = parameters
        self.size = size = sum(row.size for row in rows)
        self.kept = sum(row.kept for row in rows)
        soft = sum(row.soft_density * row.size for row in rows)
        self.density = self.kept / size if size else 1.0
        self.sparsity = 1 - self.density
        self.soft_density = soft / size if size else 1.0
        self.density_of_model = 1 - (size - self.kept) / max(1, parameters)
        self.empty = [row.name for row in rows if not row.kept]
        self.not_finite = [row.name for row in rows if not row.finite]
        self.packed_bytes = sum(-(-row.size // 8) for row in rows)
        self.float_bytes = 4 * size

    def summary(self) -> Dict[str, float]:
        """The numbers that are logged: shares, and how many are empty."""
        names = ('density', 'sparsity', 'soft_density', 'density_of_model')
        shares = {name: getattr(self, name) for name in names}
        return dict(shares, empty=len(self.empty))

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, as JSON has them."""
        values = dict(vars(self), masks=[dict(vars(row)) for row in self.rows])
        del values['rows']
        return values

    def __str__(self) -> str:
        total = MaskRow(
            'all masks', (), self.size, self.kept, self.soft_density, True
        )
        lines = [('parameter', 'shape', 'kept', 'of', 'density', 'soft')]
        lines += [
            (row.name, 'x'.join(map(str, row.shape)), f'{row.kept:,}',
             f'{row.size:,}', f'{row.density:.4f}', f'{row.soft_density:.4f}')
            for row in (*self.rows, total)
        ]  # fmt: skip
        return text_table(lines, numbers=4)


def text_table(rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """Rows of text as a table, of which the last columns are numbers.

    Args:
        rows (Sequence): The cells, those of the header first.
        numbers (int): How many columns are aligned right. Defaults to 0.
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    align = [str.ljust] * (len(widths) - numbers) + [str.rjust] * numbers
    return '\n'.join(
        '  '.join(f(x, w) for f, x, w in zip(align, row, widths)).rstrip()
        for row in rows
    )


def mask_report(model: nn.Module) -> MaskReport:
    """Count what the masks of a model keep.

    Sparsity is always the share removed, density the share kept, both of the
    hard mask; the soft density is the mean of the mask as it is now, which
    for a soft mask overstates what its ticket will keep.

    Args:
        model (nn.Module): Any module.

    Returns:
        MaskReport: Without rows if the model has no masks.

    Raises:
        ValueError: If a part of the model is on the meta device.

    Examples:
        >>> from mask_plugins.core.weights import ScoreMask, apply_weight_masks
        >>> net = nn.Linear(4, 2)
        >>> net = apply_weight_masks(net, [('weight', 'mask')], ScoreMask)
        >>> report = mask_report(net)
        >>> report.density, report.size, report.parameters
        (1.0, 8, 10)
    """
    rows, own = [], set()
    check_values(model, 'mask_report')
    for item in named_masks(model):
        hard = item.mask.hard()
        own |= {id(p) for p in item.mask.parameters()}
        rows.append(
            MaskRow(
                item.name,
                tuple(hard.shape),
                hard.numel(),
                int(hard.count_nonzero()),
                item.mask.soft_density(),
                item.mask.finite(),
            )
        )
    total = sum(p.numel() for p in model.parameters() if id(p) not in own)
    return MaskReport(rows, total)

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How much the masks of a model keep, and what they cost to store."""

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Tuple

from torch import nn

from .named_masks import named_masks


@dataclass(frozen=True)
class MaskRow:
    """The mask of one parameter.

    Args:
        name (str): Full name of the parameter.
        shape (tuple[int]): Its shape.
        size (int): Its elements.
        kept (int): Elements that the hard mask keeps.
        soft_density (float): Mean of the mask as it is now.
        finite (bool): Whether no logit or score is NaN or infinite.
    """

    name: str
    shape: Tuple[int, ...]
    size: int
    kept: int
    soft_density: float
    finite: bool

    @property
    def density(self) -> float:
        """Share that the hard mask keeps."""
        return self.kept / self.size if self.size else 0.0


@dataclass(frozen=True)
class MaskReport:
    """All masks of a model.

    Args:
        rows (list[MaskRow]): One per mask, in the order of the model.
        parameters (int): Elements of all parameters of the model, masks left
            out.

    Examples:
        >>> row = MaskRow('fc.weight', (2, 4), 8, 6, 0.7, True)
        >>> report = MaskReport([row], parameters=10)
        >>> report.density, report.sparsity, report.density_of_model
        (0.75, 0.25, 0.8)
    """

    rows: List[MaskRow]
    parameters: int

    @property
    def size(self) -> int:
        """Masked elements."""
        return sum(row.size for row in self.rows)

    @property
    def kept(self) -> int:
        """Masked elements that are kept."""
        return sum(row.kept for row in self.rows)

    @property
    def density(self) -> float:
        """Share of the masked elements that is kept (hard)."""
        return self.kept / self.size if self.size else 1.0

    @property
    def sparsity(self) -> float:
        """Share of the masked elements that is removed (hard)."""
        return 1 - self.density

    @property
    def soft_density(self) -> float:
        """Mean of all masks as they are now."""
        total = sum(row.soft_density * row.size for row in self.rows)
        return total / self.size if self.size else 1.0

    @property
    def density_of_model(self) -> float:
        """Share kept of all parameters, unmasked ones included."""
        if not self.parameters:
            return 1.0
        return 1 - (self.size - self.kept) / self.parameters

    @property
    def empty(self) -> List[str]:
        """Names of parameters of which nothing is kept."""
        return [row.name for row in self.rows if not row.kept]

    @property
    def not_finite(self) -> List[str]:
        """Names of parameters whose logits or scores have NaN or infinity."""
        return [row.name for row in self.rows if not row.finite]

    @property
    def packed_bytes(self) -> int:
        """Bytes of the masks at one bit per element."""
        return sum(-(-row.size // 8) for row in self.rows)

    @property
    def float_bytes(self) -> int:
        """Bytes of the masked weights in float32."""
        return 4 * self.size

    def summary(self) -> Dict[str, float]:
        """The numbers that are logged: shares, and how many are empty."""
        return dict(
            density=self.density,
            sparsity=self.sparsity,
            soft_density=self.soft_density,
            density_of_model=self.density_of_model,
            empty=len(self.empty),
        )

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, as JSON has them."""
        rows = [dict(asdict(row), density=row.density) for row in self.rows]
        names = (
            'size', 'kept', 'parameters', 'packed_bytes', 'float_bytes',
            'empty', 'not_finite',
        )  # fmt: skip
        values = {name: getattr(self, name) for name in names}
        return {**self.summary(), **values, 'masks': rows}

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
        widths = [max(map(len, column)) for column in zip(*lines)]
        align = (str.ljust, str.ljust, *[str.rjust] * 4)
        return '\n'.join(
            '  '.join(f(x, w) for f, x, w in zip(align, line, widths)).rstrip()
            for line in lines
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

    Examples:
        >>> from mask_plugins.core.weights import ScoreMask, apply_weight_masks
        >>> net = nn.Linear(4, 2)
        >>> net = apply_weight_masks(net, [('weight', 'mask')], ScoreMask)
        >>> report = mask_report(net)
        >>> report.density, report.size, report.parameters
        (1.0, 8, 10)
    """
    rows, own = [], set()
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

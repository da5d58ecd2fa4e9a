# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The Gram matrix of a stream of rows, by its triangular factor."""

from typing import List, Optional

import torch
from torch import Tensor


class GramFactor:
    """Singular values of a matrix that is seen some rows at a time.

    Memory is a few :math:`D^2` however many rows there are. What is kept of
    the rows :math:`Z` is the factor R of the Gram matrix
    :math:`Z^T Z = R^T R`, in fp64, whose singular values are those of Z. The
    eigenvalues of the Gram matrix itself would lose every singular value
    below about 1e-8 of the largest, so the matrix is formed only for blocks
    of rows that are well conditioned, or become so when the factor of the rows
    before them is divided out, where nothing is lost; for others R comes from
    a QR decomposition, at about twice the time.

    Args:
        block (int): Rows that are collected for one update, in multiples of
            D. Defaults to 4.
    """

    # Singular values down to 1e-5 of the largest come out of the Gram matrix
    # with an error of about 1e-11 of it.
    WELL_CONDITIONED = 1e5

    def __init__(self, block: int = 4) -> None:
        self.block = block
        self.count = 0
        self._factor: Optional[Tensor] = None
        self._rows: List[Tensor] = []
        self._waiting = 0

    @classmethod
    def of(cls, factor: Tensor, count: int) -> 'GramFactor':
        """What another one knew.

        Args:
            factor (Tensor): Its :meth:`factor`.
            count (int): Its number of rows.
        """
        made = cls()
        made._factor, made.count = factor, count
        return made

    @torch.no_grad()
    def add(self, rows: Tensor) -> None:
        """Add rows.

        Args:
            rows (Tensor): :math:`(B, D)`, with the same D at each call.

        Raises:
            ValueError: If the shape is another.
        """
        known = self._rows[0] if self._rows else self._factor
        if rows.ndim != 2 or (
            known is not None and known.shape[1] != rows.shape[1]
        ):
            dims = 'D' if known is None else known.shape[1]
            raise ValueError(
                f'rows must have shape (B, {dims}), got {tuple(rows.shape)}'
            )
        self.count += len(rows)
        self._keep(rows.detach())

    @torch.no_grad()
    def merge(self, other: 'GramFactor') -> None:
        """Add the rows of another one, as of another process."""
        self.count += other.count
        for rows in (other._factor, *other._rows):
            if rows is not None:
                self._keep(rows)

    @torch.no_grad()
    def factor(self) -> Tensor:
        """R, fp64 :math:`(K, D)` with K at most D.

        Raises:
            ValueError: If no row has been added.
        """
        self._update()
        if self._factor is None:
            raise ValueError('there are no rows to take a factor of')
        return self._factor

    @torch.no_grad()
    def singular_values(self) -> Tensor:
        """All min(N, D) of them in fp64, the largest first.

        NaN where a row was not finite.
        """
        factor = self.factor()
        size = min(self.count, factor.shape[1])
        values = factor.new_zeros(size)
        if not factor.isfinite().all():
            return values.fill_(torch.nan)
        found = torch.linalg.svdvals(factor)[:size]
        values[: len(found)] = found
        return values

    def _keep(self, rows: Tensor) -> None:
        self._rows.append(rows)
        self._waiting += len(rows)
        if self._waiting >= self.block * rows.shape[1]:
            self._update()

    def _update(self) -> None:
        if not self._waiting:
            return
        rows = torch.cat([rows.double() for rows in self._rows])
        self._rows, self._waiting = [], 0
        before = self._factor
        before = before if before is None else before.to(rows.device)
        # Columns of zeros, as of dead channels, would make it singular.
        used = (rows != 0).any(dim=0)
        if before is not None:
            used |= (before != 0).any(dim=0)
        used = used.nonzero()[:, 0]
        part = rows if len(used) == rows.shape[1] else rows[:, used]
        if before is None:
            found = self._by_cholesky(part)
        else:
            before = before[:, used]
            found = self._by_update(before, part)
            part = None if found is not None else torch.cat((before, part))
        if found is None:
            found = torch.linalg.qr(part, mode='r').R
        self._factor = rows.new_zeros(len(found), rows.shape[1])
        self._factor[:, used] = found

    def _by_update(self, before: Tensor, rows: Tensor) -> Optional[Tensor]:
        """R of the factor so far and new rows, None where it is singular.

        With :math:`W = B R^{-1}`, :math:`R^T R + B^T B = R^T (1 + W^T W) R`,
        and the matrix in brackets is well conditioned however R is, as long
        as the new rows look like those before (in the manner of
        CholeskyQR2, Yamamoto et al., ETNA 44, 2015, with the factor so far in
        place of a first pass).
        """
        size = rows.shape[1]
        if before.shape[0] != size or not before.diagonal().all():
            return None
        ratio = torch.linalg.solve_triangular(
            before, rows, upper=True, left=False
        )
        if not ratio.norm() < self.WELL_CONDITIONED:
            return None
        inner = ratio.T @ ratio
        inner.diagonal().add_(1)
        lower, failed = torch.linalg.cholesky_ex(inner)
        return None if failed else lower.T @ before

    def _by_cholesky(self, rows: Tensor) -> Optional[Tensor]:
        """R by the Gram matrix, None where that would lose precision."""
        size = rows.shape[1]
        if len(rows) < size or not size:
            return None
        lower, failed = torch.linalg.cholesky_ex(rows.T @ rows)
        if failed or not lower.isfinite().all():
            return None
        eye = torch.eye(size, dtype=rows.dtype, device=rows.device)
        inverse = torch.linalg.solve_triangular(lower, eye, upper=False)
        # No less than the condition number.
        condition = lower.norm() * inverse.norm()
        return lower.T if condition < self.WELL_CONDITIONED else None

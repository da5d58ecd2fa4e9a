# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a drop ratio leaves of the tokens of a backbone, and of its work."""

from typing import NamedTuple, Optional

from mmengine.config import Config

from mask_plugins.apis.model import config_scope
from mask_plugins.core.tokens import block_macs, keep_count
from mask_plugins.registry import MODELS


class Tokens(NamedTuple):
    """What of a backbone says how much a token costs.

    Examples:
        >>> tokens = Tokens(196, prefix=1, width=768, count_on='tokens')
        >>> tokens.kept(0.8), round(tokens.mac_share(0.8), 3)
        (39, 0.191)
    """

    patches: int
    prefix: int
    width: int
    count_on: str

    def kept(self, drop_ratio: float) -> int:
        """Tokens that pass the blocks, prefix tokens included."""
        total = self.patches + self.prefix
        return keep_count(total, drop_ratio, self.prefix, self.count_on)

    def mac_share(self, drop_ratio: float) -> float:
        """Multiply-adds of a block, relative to those at ratio 0."""
        full = block_macs(self.patches + self.prefix, self.width)
        return block_macs(self.kept(drop_ratio), self.width) / full


def read_tokens(cfg: Config) -> Optional[Tokens]:
    """What tokens of the config's backbone cost; None if it has none."""
    with config_scope(cfg):
        backbone = MODELS.build(cfg.model.backbone)
    grid = getattr(backbone, 'patch_resolution', None)
    width = getattr(backbone, 'embed_dims', None)
    if grid is None or not isinstance(width, int):
        return None
    return Tokens(
        grid[0] * grid[1],
        getattr(backbone, 'num_extra_tokens', 1),
        width,
        getattr(backbone, 'count_on', 'tokens'),
    )

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Prototypes, assignments and the queue of SwAV."""

from typing import Any, Dict, List, Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_dist_info
from mmengine.model import BaseModule
from torch import Tensor, nn

from mask_plugins.functional.sinkhorn import sinkhorn
from mask_plugins.models.layers.masked_linear import masked_linear
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_int, check_number


@MODELS.register_module()
class SwAVHead(BaseModule):
    """Head of SwAV: assign crops to prototypes, predict the assignments.

    "Unsupervised Learning of Visual Features by Contrasting Cluster
    Assignments" (Caron et al., NeurIPS 2020,
    https://arxiv.org/abs/2006.09882). It replaces the stock ``SwAVHead`` and
    its loss in any SwAV config; :class:`mask_plugins.SwAVHook` starts the
    queue and freezes the prototypes.

    All of it is computed in fp32 or better. The queue holds the newest
    embeddings of all ranks, is filled by training alone, and is used once it
    is full. It is in the checkpoint, and equal on all ranks: N processes
    compute what one computes on the joint batch.

    Args:
        in_channels (int): Channels of an embedding. Defaults to 128.
        num_prototypes (int): At least 2. Defaults to 3000.
        num_crops (Sequence[int]): Crops of each resolution, as in
            ``MultiView``. Defaults to (2,).
        crops_for_assign (Sequence[int]): Crops whose assignments are
            predicted. Defaults to (0, 1).
        queue_length (int): Embeddings that are kept per assigned crop, over
            all ranks; 0 for no queue. Any number will do: the oldest leave.
            Defaults to 0.
        epsilon (float): Of :func:`mask_plugins.functional.sinkhorn.sinkhorn`.
            Defaults to 0.05.
        sinkhorn_iterations (int): Of the same. Defaults to 3.
        mask (dict, optional): Config of a weight mask: the prototypes stay as
            they are drawn, and the mask is learned. Defaults to None.
        loss (dict, optional): Defaults to
            ``dict(type='mask_plugins.SwAVLoss')``.

    Raises:
        TypeError, ValueError: If there are fewer than 2 prototypes or crops,
            ``crops_for_assign`` names a crop that is not there, or a number
            is out of range.

    Examples:
        >>> head = SwAVHead(16, num_prototypes=10, num_crops=[2, 2])
        >>> embeddings = F.normalize(torch.randn(4 * 3, 16))  # 3 images
        >>> head.loss(embeddings).ndim
        0
    """

    def __init__(
        self,
        in_channels: int = 128,
        num_prototypes: int = 3000,
        num_crops: Sequence[int] = (2,),
        crops_for_assign: Sequence[int] = (0, 1),
        queue_length: int = 0,
        epsilon: float = 0.05,
        sinkhorn_iterations: int = 3,
        mask: Optional[Dict[str, Any]] = None,
        loss: Optional[Dict[str, Any]] = None,
    ) -> None:
        super().__init__()
        check_int('in_channels', in_channels, 1)
        check_int('num_prototypes', num_prototypes, 2)
        crops = sum(check_int('num_crops', count, 1) for count in num_crops)
        if crops < 2:
            raise ValueError(
                'num_crops must be 2 crops or more, as one is predicted from '
                f'another, got {list(num_crops)}'
            )
        self.num_crops = crops
        self.crops_for_assign: List[int] = [
            check_int('crops_for_assign', crop, 0, crops - 1)
            for crop in crops_for_assign
        ]
        self.epsilon = check_number('epsilon', epsilon, 0, ends='()')
        self.sinkhorn_iterations = check_int(
            'sinkhorn_iterations', sinkhorn_iterations, 1
        )
        if mask is None:
            self.prototypes = nn.Linear(
                in_channels, num_prototypes, bias=False
            )
        else:
            self.prototypes = masked_linear(in_channels, num_prototypes, mask)
        length = check_int('queue_length', queue_length, 0)
        shape = len(self.crops_for_assign), length, in_channels
        self.register_buffer('queue', torch.zeros(shape))
        # How many embeddings of the queue have been filled in.
        self.register_buffer('queued', torch.zeros((), dtype=torch.int64))
        #: Whether the queue is filled and used; set by the hook.
        self.queue_on = False
        self.loss_module = MODELS.build(
            loss or dict(type='mask_plugins.SwAVLoss')
        )

    def loss(self, embeddings: Tensor) -> Tensor:
        """The loss of a batch; prototypes are normalized and queues filled.

        Args:
            embeddings (Tensor): Of length 1, :math:`(V B, D)`, crop by crop.

        Raises:
            ValueError: If they are not those of V crops of some images.
        """
        width = self.queue.shape[2]
        if embeddings.ndim != 2 or embeddings.shape[1] != width:
            raise ValueError(
                f'embeddings must have shape (V B, {width}), got '
                f'{tuple(embeddings.shape)}'
            )
        if len(embeddings) % self.num_crops or not len(embeddings):
            raise ValueError(
                f'{len(embeddings)} embeddings cannot be those of '
                f'{self.num_crops} crops: set num_crops as in MultiView'
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            wider = torch.promote_types(embeddings.dtype, torch.float32)
            z = embeddings.to(wider)
            self._normalize_prototypes()
            scores = self.prototypes(z).unflatten(0, (self.num_crops, -1))
            z = z.detach().unflatten(0, (self.num_crops, -1))  # VxBxD
            chosen = self.crops_for_assign
            targets = self._assign(scores.detach()[chosen])
            self._fill(z[chosen])
            return self.loss_module(scores, targets, chosen)

    @torch.no_grad()
    def _normalize_prototypes(self) -> None:
        weight = self.prototypes._parameters['weight']  # that of no mask
        weight.copy_(F.normalize(weight))

    @torch.no_grad()
    def _assign(self, scores: Tensor) -> Tensor:
        """Assignments of the newest samples: (A, B, K)."""
        batch, length = scores.shape[1], self.queue.shape[1]
        if self.queue_on and 0 < length <= int(self.queued):
            rank, ranks = get_dist_info()  # each rank takes its share
            old = self.prototypes(self.queue[:, rank::ranks].to(scores.dtype))
            scores = torch.cat((scores, old), dim=1)
        settings = self.epsilon, self.sinkhorn_iterations
        return torch.stack([sinkhorn(s, *settings)[:batch] for s in scores])

    @torch.no_grad()
    def _fill(self, z: Tensor) -> None:
        """Put the newest embeddings of all ranks in front."""
        length = self.queue.shape[1]
        if not (self.queue_on and self.training and length):
            return
        new = torch.cat(all_gather(z.contiguous()), dim=1)  # AxBxD
        queue = torch.cat((new.to(self.queue.dtype), self.queue), dim=1)
        self.queue.copy_(queue[:, :length])
        self.queued.copy_((self.queued + new.shape[1]).clamp_max(length))

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Hard Global Softmin Loss: class centers, and distances to them."""

from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmpretrain.evaluation.metrics import Accuracy
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mask_plugins.functional.hgsl import (
    bounded,
    center_decorrelation,
    center_distances,
    hard_softmin,
    unit_rows,
)
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import (
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_pair,
)

from .embedding import Feats, last_embedding
from .labels import batch_labels


@MODELS.register_module()
class HardGlobalSoftminHead(ClsHead):
    r"""Pull embeddings to their class's center, away from the nearest ones.

    HGSL as in the authors' released code (Signal Processing: Image
    Communication 2021, doi:10.1016/j.image.2021.116515); the article's own
    equation was not checked. With unit embeddings :math:`x_i`, centers
    :math:`v_j = V_j / g_j`, distances :math:`d_{ij}`, logits
    :math:`z_{ij} = a (margin - d_{ij})`, and the ``top_k`` nearest centers
    :math:`H_i`:

    .. math::
        L = \frac{1}{B} \sum_i \Bigl[-z_{iy} + \log \sum_{j \in H_i}
        e^{z_{ij}}\Bigr] + \lambda \frac{1}{C^2 - C} \sum_{i \ne j}
        |v_i \cdot v_j|, \qquad a = scale\_num / \alpha

    It is a classification head (``predict`` takes the softmax of the logits,
    and leaves the ``embedding`` for :class:`mask_plugins.RetrievalMetrics`)
    and a head for mmpretrain's ``ImageToImageRetriever``. All is computed in
    fp32 (fp64 for fp64 inputs), also under autocast, by logsumexp: it is
    finite where the original overflows.

    ``loss`` returns ``loss_hgs``, ``loss_dec`` (times its weight), and for
    the log ``alpha`` and ``scale`` (a).

    Args:
        num_classes (int): C.
        in_channels (int): D, channels of the embedding.
        top_k (int, optional): Size of H, in 1..C; None or 0 means all. The
            released training uses 1. Defaults to 1.
        scale_num (float): Defaults to 10.
        alpha_init (float): Defaults to 0.1, hence a = 100.
        alpha_trainable (bool): Defaults to True.
        alpha_bounds (Tuple[float, float]): Between which the alpha that is
            used stays; a gradient can lead back inside. With ``top_k=1`` the
            loss falls whenever alpha grows, so an upper bound keeps a from
            fading. Defaults to (1e-3, 1e3), which keep it positive.
        margin (float): As in the released code, where it cancels in the loss
            and the softmax; kept so that logits agree. Defaults to 1.
        hard_margin (float): A margin with an effect, not of the original: a
            target's center has to be nearer than the others by so much, on
            the scale of distances between unit vectors. Defaults to 0.
        lambda_dec (float): Weight of the decorrelation. Defaults to 0.1.
        center_norm (str): ``'ref'``: V and g are trained, and g begins as
            ||V||, so centers are of unit norm at first and free later;
            ``'l2'``: always of unit norm. Defaults to 'ref'.
        eps (float): Inside the root of the distance. Defaults to 1e-6.
        loss_weight (float): Of both parts. Defaults to 1.
        topk (int | Sequence[int]): Of the training accuracy. Defaults to 1.
        cal_acc (bool): Whether to log it. Defaults to False.
        init_cfg (dict, optional): Defaults to None: centers are random
            directions.

    Raises:
        TypeError, ValueError: If ``num_classes``, ``in_channels``,
            ``scale_num`` or ``eps`` is not positive, ``top_k`` is not in
            0..C, ``alpha_init`` is outside its positive bounds, a weight or
            ``hard_margin`` is negative, or ``center_norm`` is unknown.

    Examples:
        >>> head = HardGlobalSoftminHead(num_classes=5, in_channels=8)
        >>> head((torch.randn(2, 8),)).shape
        torch.Size([2, 5])
        >>> round(head.scale().item())
        100
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        top_k: Optional[int] = 1,
        scale_num: float = 10.0,
        alpha_init: float = 0.1,
        alpha_trainable: bool = True,
        alpha_bounds: Tuple[float, float] = (1e-3, 1e3),
        margin: float = 1.0,
        hard_margin: float = 0.0,
        lambda_dec: float = 0.1,
        center_norm: str = 'ref',
        eps: float = 1e-6,
        loss_weight: float = 1.0,
        topk: Union[int, Sequence[int]] = 1,
        cal_acc: bool = False,
        init_cfg: Optional[dict] = None,
    ) -> None:
        topk = (topk,) if isinstance(topk, int) else tuple(topk)
        super().__init__(topk=topk, cal_acc=cal_acc, init_cfg=init_cfg)
        del self.loss_module  # the loss is not one of logits alone
        self.num_classes = check_int('num_classes', num_classes, 1)
        self.in_channels = check_int('in_channels', in_channels, 1)
        top_k = check_int('top_k', top_k, 0, num_classes, optional=True)
        self.top_k = top_k or num_classes
        self.scale_num = check_number('scale_num', scale_num, 0, ends='()')
        self.alpha_bounds = check_pair('alpha_bounds', alpha_bounds, float)
        check_number('alpha_bounds[0]', self.alpha_bounds[0], 0, ends='()')
        check_number('alpha_init', alpha_init, *self.alpha_bounds)
        self.margin = check_number('margin', margin)
        self.hard_margin = check_number('hard_margin', hard_margin, 0)
        self.lambda_dec = check_number('lambda_dec', lambda_dec, 0)
        self.eps = check_number('eps', eps, 0, ends='()')
        self.loss_weight = check_number('loss_weight', loss_weight, 0)
        check_bool('alpha_trainable', alpha_trainable)
        check_choice('center_norm', center_norm, ('ref', 'l2'))
        directions = F.normalize(torch.randn(num_classes, in_channels))
        self.weight = nn.Parameter(directions)
        norms = directions.norm(dim=1, keepdim=True)
        self.gain = nn.Parameter(norms) if center_norm == 'ref' else None
        self.alpha = nn.Parameter(
            torch.tensor(float(alpha_init)), requires_grad=alpha_trainable
        )

    def centers(self) -> Tensor:
        """The class centers, (C, D)."""
        if self.gain is None:
            return F.normalize(self.weight)
        return self.weight / self.gain

    def scale(self) -> Tensor:
        """What distances are multiplied by, a scalar."""
        return self.scale_num / bounded(self.alpha, *self.alpha_bounds)

    def pre_logits(self, feats: Feats) -> Tensor:
        """The unit embedding of the last stage, (B, D)."""
        x = last_embedding(feats)
        return unit_rows(x if x.dtype == torch.float64 else x.float())

    def forward(self, feats: Feats) -> Tensor:
        """Logits a (margin - d), (B, C)."""
        with torch.autocast(self.weight.device.type, enabled=False):
            x = self.pre_logits(feats)  # BxD
            centers = self.centers().to(x.dtype)  # CxD
            distances = center_distances(x, centers, self.eps)  # BxC
            return self.scale() * (self.margin - distances)

    def predict(
        self, feats: Feats, data_samples: Optional[List[DataSample]] = None
    ) -> List[DataSample]:
        """Scores and labels, and the unit ``embedding``, (D,)."""
        data_samples = super().predict(feats, data_samples)
        for sample, row in zip(data_samples, self.pre_logits(feats)):
            sample.set_field(row, 'embedding')
        return data_samples

    def loss(
        self, feats: Feats, data_samples: List[DataSample], **kwargs
    ) -> Dict[str, Tensor]:
        """Both parts of the loss.

        Raises:
            TypeError, ValueError: If labels are mixed (mixup, CutMix), or are
                not one class per row.
        """
        if len(data_samples) and 'gt_score' in data_samples[0]:
            raise ValueError(
                'HardGlobalSoftminHead needs one class per image, got mixed '
                'labels (gt_score): take Mixup and CutMix out of the config'
            )
        logits, scale = self(feats), self.scale()
        labels = batch_labels(data_samples, logits, self.num_classes)
        with torch.autocast(logits.device.type, enabled=False):
            margin = self.hard_margin * scale if self.hard_margin else None
            hard = hard_softmin(logits, labels, self.top_k, margin)
            losses = dict(loss_hgs=self.loss_weight * hard)
            if self.lambda_dec:
                pairs = self.lambda_dec * center_decorrelation(self.centers())
                losses['loss_dec'] = self.loss_weight * pairs
        losses.update(alpha=self.alpha.detach().clone(), scale=scale.detach())
        if self.cal_acc:
            found = Accuracy.calculate(logits, labels, topk=self.topk)
            names = [f'accuracy_top-{k}' for k in self.topk]
            losses.update(zip(names, found))
        return losses

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Classify every frame of clips, computing what has changed."""

from typing import Dict, List, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from mask_plugins.core.patches import (
    ClipState,
    RunningMode,
    gates_of,
    set_running_mode,
)
from mask_plugins.functional.relative_error import relative_l2
from mask_plugins.models.clip_pairs import check_rgb, frame_pairs
from mask_plugins.models.stream_session import StreamSession, macs_since
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_bool, check_number
from mask_plugins.utils.timing import timed


@MODELS.register_module()
class StreamClassifier(ImageClassifier):
    """An image classifier for frames of streams, with a gated backbone.

    Inputs are clips :math:`(B, T, C, H, W)`, B streams, or single images
    :math:`(B, C, H, W)`, which are computed densely. Its state dict is that
    of ``ImageClassifier`` plus the gates, and weights of one load into the
    other.

    *Training* depends on the running mode (PASS, AAAI 2023). In
    ``BackboneTrain`` all frames are images of a batch. In ``FineTuning``
    frames see what inference will see, parts of it taken from the frame
    before: the network learns to live with its frozen gates.

    *Prediction* is real sparse inference, frame by frame. One data sample
    per clip comes back, whose ``pred_score`` is the mean over its frames and
    whose ``stream_record`` is what :class:`mask_plugins.SkipRatio` measures.
    A clip that begins where the last one of its ``stream`` has ended continues
    with its state.

    Args:
        backbone (dict): With gates: :class:`mask_plugins.GatedResNet`,
            ``mask_plugins.GatedModel`` around any backbone, or one of
            ``conv_cfg=dict(type='mask_plugins.GatedConv2d')``.
        neck (dict, optional): Defaults to None.
        head (dict, optional): Defaults to None.
        running_mode (str): At first; see
            :class:`mask_plugins.RunningModeHook`. Defaults to
            'BackboneTrain'.
        stream (dict, optional): Arguments of
            :class:`mask_plugins.core.patches.StreamState`. Defaults to None.
        compare_dense (bool): In prediction run every frame densely too, for
            agreement, error and speed-up. Defaults to False.
        distill_weight (float): In ``FineTuning``, weight of the divergence
            from the scores of the same network computed densely.
            Defaults to 0.
        dtype (str): Of the maps in gated prediction: ``'fp32'``, or
            ``'bf16'`` for states of half the size. Defaults to ``'fp32'``.
        **kwargs: Other arguments of ``ImageClassifier``.

    Raises:
        TypeError: If ``compare_dense`` is not a bool.
        ValueError: If the backbone has no gates, ``data_preprocessor`` has
            ``to_rgb=True``, ``running_mode`` is unknown or ``distill_weight``
            negative.

    Examples:
        >>> backbone = dict(type='mask_plugins.GatedResNet', depth=18,
        ...                 base_channels=8, stem_channels=8)
        >>> head = dict(type='LinearClsHead', num_classes=3, in_channels=64)
        >>> neck = dict(type='GlobalAveragePooling')
        >>> model = StreamClassifier(backbone, neck, head).eval()
        >>> (sample,) = model(torch.zeros(1, 2, 3, 32, 32), mode='predict')
        >>> sample.stream_record['scores'].shape  # 2 frames, 3 classes
        torch.Size([2, 3])
    """

    def __init__(
        self,
        backbone: dict,
        neck: Optional[dict] = None,
        head: Optional[dict] = None,
        running_mode: str = 'BackboneTrain',
        stream: Optional[dict] = None,
        compare_dense: bool = False,
        distill_weight: float = 0.0,
        dtype: str = 'fp32',
        **kwargs,
    ) -> None:
        distill_weight = check_number('distill_weight', distill_weight, 0)
        check_bool('compare_dense', compare_dense)
        super().__init__(backbone=backbone, neck=neck, head=head, **kwargs)
        check_rgb(self.data_preprocessor)
        self.compare_dense = compare_dense
        self.distill_weight = distill_weight
        self._session = StreamSession(self.backbone, stream, dtype=dtype)
        self._ends: Dict[str, int] = {}
        set_running_mode(self, running_mode)

    @property
    def running_mode(self) -> RunningMode:
        """The mode that its gates are in."""
        return next(gates_of(self.backbone)).running_mode

    def forward(
        self,
        inputs: Tensor,
        data_samples: Optional[List[DataSample]] = None,
        mode: str = 'tensor',
    ) -> Union[Tensor, Dict[str, Tensor], List[DataSample]]:
        """As ``ImageClassifier``.

        Args:
            inputs (Tensor): :math:`(B, T, C, H, W)` or :math:`(B, C, H, W)`.
            data_samples (list[DataSample], optional): One per clip.
            mode (str): 'tensor', 'loss' or 'predict'. As a tensor, scores of
                clips are those of all their frames, computed densely,
                :math:`(B T, K)`.

        Raises:
            ValueError: If the inputs have another number of dimensions.
        """
        if inputs.ndim not in (4, 5):
            shape = tuple(inputs.shape)
            raise ValueError(f'inputs must be clips or images, got {shape}')
        if inputs.ndim == 5 and mode == 'tensor':
            inputs = inputs.flatten(0, 1)
        return super().forward(inputs, data_samples, mode)

    # ------------------------------------------------------------- training
    def loss(
        self, inputs: Tensor, data_samples: List[DataSample]
    ) -> Dict[str, Tensor]:
        """Loss of all frames of all clips; see the class."""
        if inputs.ndim == 4:
            return super().loss(inputs, data_samples)
        length = inputs.shape[1]
        if self.running_mode is not RunningMode.FineTuning:
            samples = [s for s in data_samples for _ in range(length)]
            return super().loss(inputs.flatten(0, 1), samples)
        before, now = frame_pairs(inputs)
        samples = [s for s in data_samples for _ in range(length - 1)]
        binder, state = self._session.binder, ClipState()
        with torch.no_grad(), binder.bind_clip(state, commit=True):
            self.extract_feat(before)
        with binder.bind_clip(state):
            feats = self.extract_feat(now)
        losses = self.head.loss(feats, samples)
        losses['skip_ratio'] = state.skip_ratio().detach()
        if self.distill_weight:
            with torch.no_grad():
                target = self.head(self.extract_feat(now)).softmax(1)
            scores = self.head(feats).log_softmax(1)
            loss = F.kl_div(scores, target, reduction='batchmean')
            losses['loss_distill'] = self.distill_weight * loss
        return losses

    # ------------------------------------------------------------ prediction
    @torch.no_grad()
    def predict(
        self,
        inputs: Tensor,
        data_samples: Optional[List[DataSample]] = None,
        **kwargs,
    ) -> List[DataSample]:
        """Sparse inference over clips, one data sample per clip."""
        if inputs.ndim == 4:
            return super().predict(inputs, data_samples, **kwargs)
        data_samples = data_samples or [DataSample() for _ in inputs]
        streams, begins = self._streams(data_samples, inputs.shape[1])
        begun = [self._session.macs(name) for name in streams]
        runs = dict(gated=lambda x: self._gated(x, streams))
        if self.compare_dense:
            runs['dense'] = self._dense
        found: Dict[str, list] = {name: [] for name in runs}
        latency: Dict[str, list] = {name: [] for name in runs}
        errors = []
        for t, x in enumerate(inputs.unbind(1)):  # B, C, H, W
            x = x.contiguous(memory_format=torch.channels_last)
            feats = {}
            # Neither always finds the caches as the other leaves them.
            for name in list(runs)[:: 1 if t % 2 else -1]:
                seconds, (feats[name], scores) = timed(runs[name], x)
                found[name].append(scores.float())
                if t or not begins:
                    latency[name].append(1000 * seconds)
            if self.compare_dense:
                errors.append(relative_l2(feats['gated'], feats['dense']))
        scores = {name: torch.stack(s, 1) for name, s in found.items()}
        for i, (sample, name) in enumerate(zip(data_samples, streams)):
            macs = macs_since(self._session.macs(name), begun[i])
            record = dict(macs=macs)
            for run, prefix in zip(runs, ('', 'dense_')):
                record[f'{prefix}scores'] = scores[run][i].cpu()  # T, K
                record[f'{prefix}latency'] = [] if i else latency[run]
            if self.compare_dense:
                record['relative_l2'] = [float(error[i]) for error in errors]
            score = scores['gated'][i].softmax(1).mean(0)
            sample.set_pred_score(score)
            sample.set_pred_label(score.argmax(0, keepdim=True))
            sample.set_field(record, 'stream_record')
        return data_samples

    def _gated(self, x: Tensor, streams: List[str]) -> Tuple[Tensor, Tensor]:
        def call(x: Tensor) -> Tuple[Tensor, ...]:
            return tuple(f.float() for f in self.extract_feat(x))

        feats = self._session.run(call, x, streams)
        # The cache of the last layer changes with the next frame.
        return feats[-1].clone(), self.head(feats)

    def _dense(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        feats = self.extract_feat(x)
        return feats[-1], self.head(feats)

    def _streams(
        self, data_samples: List[DataSample], length: int
    ) -> Tuple[List[str], bool]:
        """Names, and whether any stream begins; those of others are left."""
        names, begins = [], False
        for i, sample in enumerate(data_samples):
            name = str(sample.get('stream', f'clip {i}'))
            if name in names:  # the same video twice in a batch
                name = f'{name} ({i})'
            frame = int(sample.get('frame', 0))
            if self._ends.get(name) != frame:
                self._session.reset([name])
                begins = True
            self._ends[name] = int(sample.get('next_frame', frame + length))
            names.append(name)
        # Streams that are not in the batch do not come back.
        gone = set(self._session.states) - set(names)
        self._session.reset(gone)
        for name in gone:
            self._ends.pop(name, None)
        return names, begins

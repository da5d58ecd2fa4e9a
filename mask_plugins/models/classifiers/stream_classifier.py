# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Classify every frame of clips, computing what has changed."""

import time
from typing import Callable, Dict, List, Optional, Tuple, Union

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
    A clip that begins where the last one of its ``stream`` has ended goes on
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
        **kwargs: Other arguments of ``ImageClassifier``.

    Raises:
        ValueError: If an argument is not one of the allowed, the backbone has
            no gates, or ``data_preprocessor`` has ``to_rgb=True``.
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
        **kwargs,
    ) -> None:
        if not distill_weight >= 0:
            raise ValueError(
                f'distill_weight must be at least 0, got {distill_weight!r}'
            )
        super().__init__(backbone=backbone, neck=neck, head=head, **kwargs)
        check_rgb(self.data_preprocessor)
        self.compare_dense = bool(compare_dense)
        self.distill_weight = distill_weight
        self._session = StreamSession(self.backbone, stream)
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
            raise ValueError(
                'inputs must be clips (B, T, C, H, W) or images '
                f'(B, C, H, W), got {tuple(inputs.shape)}'
            )
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
        if self.running_mode is not RunningMode.FineTuning:
            length = inputs.shape[1]
            samples = [s for s in data_samples for _ in range(length)]
            return super().loss(inputs.flatten(0, 1), samples)
        before, now = frame_pairs(inputs)
        samples = [
            s for s in data_samples for _ in range(len(now) // len(inputs))
        ]
        binder, state = self._session.binder, ClipState()
        with torch.no_grad(), binder.bind_clip(state, commit=True):
            self.extract_feat(before)
        with binder.bind_clip(state):
            feats = self.extract_feat(now)
        losses = self.head.loss(feats, samples)
        losses['skip_ratio'] = state.skip_ratio().detach()
        if self.distill_weight:
            losses['loss_distill'] = self.distill_weight * self._distill(
                now, self.head(feats)
            )
        return losses

    def _distill(self, frames: Tensor, scores: Tensor) -> Tensor:
        """Divergence of gated scores from dense ones."""
        with torch.no_grad():
            target = self.head(self.extract_feat(frames)).softmax(1)
        return F.kl_div(scores.log_softmax(1), target, reduction='batchmean')

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
        if data_samples is None:
            data_samples = [DataSample() for _ in inputs]
        streams, begins = self._streams(data_samples, inputs.shape[1])
        begun = [self._session.macs(name) for name in streams]
        dense: Dict[str, list] = dict(scores=[], latency=[])
        gated: Dict[str, list] = dict(scores=[], latency=[])
        errors = []
        for t in range(inputs.shape[1]):
            x = inputs[:, t].contiguous(memory_format=torch.channels_last)
            runs = [(gated, lambda x: self._gated(x, streams))]
            if self.compare_dense:
                runs.append((dense, self._dense))
                # Neither always finds the caches as the other leaves them.
                runs = runs[:: 1 if t % 2 else -1]
            feats = {}
            for record, run in runs:
                seconds, (feats[id(record)], scores) = timed(run, x)
                record['scores'].append(scores)
                if t or not begins:
                    record['latency'].append(1000 * seconds)
            if self.compare_dense:
                errors.append(relative_l2(feats[id(gated)], feats[id(dense)]))
        macs = [
            macs_since(self._session.macs(name), before)
            for name, before in zip(streams, begun)
        ]
        return self._records(data_samples, macs, gated, dense, errors)

    def _gated(self, x: Tensor, streams: List[str]) -> Tuple[Tensor, Tensor]:
        with self._session.bound(streams):
            feats = self.extract_feat(x)
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
        gone = set(self._session.names()) - set(names)
        self._session.reset(gone)
        for name in gone:
            self._ends.pop(name, None)
        return names, begins

    def _records(
        self, data_samples, macs, gated, dense, errors
    ) -> List[DataSample]:
        scores = torch.stack(gated['scores'], 1)  # B x T x K
        out = []
        for i, sample in enumerate(data_samples):
            record = dict(
                scores=scores[i].float().cpu(),
                macs=macs[i],
                latency=gated['latency'] if i == 0 else [],
            )
            if self.compare_dense:
                record['dense_scores'] = torch.stack(
                    [s[i].float().cpu() for s in dense['scores']]
                )
                record['dense_latency'] = dense['latency'] if i == 0 else []
                record['relative_l2'] = [float(e[i]) for e in errors]
            score = scores[i].float().softmax(1).mean(0)
            sample.set_pred_score(score)
            sample.set_pred_label(score.argmax(0, keepdim=True))
            sample.set_field(record, 'stream_record')
            out.append(sample)
        return out


def timed(run: Callable, x: Tensor) -> Tuple[float, Tuple[Tensor, Tensor]]:
    """Seconds and result of a call, waiting for a GPU."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    begin = time.perf_counter()
    result = run(x)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - begin, result

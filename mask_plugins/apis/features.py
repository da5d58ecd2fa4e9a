# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a model makes of a data set: features, labels, sample indices."""

import copy
import inspect
from typing import Any, Mapping, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object, is_main_process
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from mask_plugins.functional.feature_vectors import features_of
from mask_plugins.utils.checks import check_choice
from mask_plugins.utils.progress import track

from .config_keys import walk
from .data import build_set, labels_of, test_pipeline
from .model import load_trained_model
from .preprocess import preprocess

LAYERS = ('backbone', 'neck', 'pre_logits')


class Features(NamedTuple):
    """A data set as a model sees it, on the CPU.

    ``values`` is fp32 :math:`(N, D)`, ``labels`` and ``indices`` (of the
    samples in their data set) are int64 :math:`(N,)`.
    """

    values: Tensor
    labels: Tensor
    indices: Tensor


def load_feature_model(
    cfg: Config, checkpoint: str, device: Optional[str] = None
) -> nn.Module:
    """The model of a config with the weights of a checkpoint, in eval mode.

    Args:
        cfg (Config): Its config.
        checkpoint (str): Its weights, ``.pth`` or ``.safetensors``.
        device (str, optional): Defaults to None, a GPU if there is one.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the weights do not fit, there is no such device, or the
            model has no ``extract_feat``.
    """
    model = load_trained_model(cfg, checkpoint, device=device)
    _check_model(model)
    return model


def build_train_set(cfg: Config) -> Dataset:
    """The training set of a config, its images as in a test.

    Every pipeline in it becomes that of the test set: no augmentation.

    Raises:
        ValueError: If the config has no ``train_dataloader``, the pipeline of
            the test set is not found, or the set is empty.
    """
    if cfg.get('train_dataloader') is None:
        raise ValueError('the config has no train_dataloader')
    pipeline = test_pipeline(cfg)
    settings = copy.deepcopy(cfg.train_dataloader['dataset'])
    for _, part in [('', settings), *walk(settings)]:
        if isinstance(part, Mapping) and part.get('pipeline') is not None:
            part['pipeline'] = copy.deepcopy(pipeline)
    return build_set(cfg, settings, 'training')


@torch.no_grad()
def extract_features(
    model: nn.Module,
    loader: DataLoader,
    layer: str = 'neck',
    what: str = 'features',
) -> Features:
    """Run a model over a data set, in eval mode and without gradients.

    Of the layer's output the last map is taken; a map of
    :math:`(B, C, H, W)` is averaged over space. The mode of the model is as
    it was afterwards. In a distributed run every rank gets all features, in
    the order of the data set.

    Args:
        model (nn.Module): A classifier or retriever of mmpretrain, anything
            with ``extract_feat`` and ``data_preprocessor``; not wrapped.
        loader (DataLoader): Of
            :func:`mask_plugins.apis.data.build_test_loader`, or another that
            loads in order.
        layer (str): ``'backbone'``, ``'neck'`` (without one, the backbone's
            output) or ``'pre_logits'``. Defaults to ``'neck'``.
        what (str): Name of the work in the progress display. Defaults to
            ``'features'``.

    Raises:
        ValueError: If the layer is none of these, the model gives no features
            of :math:`(B, D)`, or samples have no single label.
    """
    check_choice('layer', layer, LAYERS)
    _check_model(model)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    values, labels = [], []
    try:
        for batch in (
            track(loader, f'{what}, batches') if is_main_process() else loader
        ):
            labels += labels_of(batch)
            values.append(batch_features(model, batch, layer).cpu())
    finally:
        for module, training in modes:
            module.training = training
    rows = torch.cat(values) if values else torch.empty(0, 0)
    labels = torch.tensor(labels, dtype=torch.int64)
    own = Features(rows, labels, _dataset_indices(loader.dataset))
    parts = [part for part in all_gather_object(own) if len(part.labels)]
    if len(parts) < 2:
        return parts[0] if parts else own
    whole = Features(*(torch.cat(column) for column in zip(*parts)))
    order = whole.indices.argsort()
    return Features(*(column[order] for column in whole))


def _check_model(model: nn.Module) -> None:
    for name in ('extract_feat', 'data_preprocessor'):
        if not hasattr(model, name):
            raise ValueError(
                f'{type(model).__name__} has no {name}: features are taken '
                'from classifiers and retrievers of mmpretrain'
            )


def batch_features(model: nn.Module, batch: dict, layer: str) -> Tensor:
    """One vector per image of a batch.

    Args:
        model (nn.Module): In eval mode; a self-supervised algorithm will do.
        batch (dict): As a data loader gives it, one view of each image.
        layer (str): See :func:`extract_features`. The neck of a
            self-supervised algorithm is its projection.

    Returns:
        Tensor: fp32 :math:`(B, D)`. Of tokens, that of the class if there is
        one, else their mean.

    Raises:
        ValueError: If there is no such layer, or images have several views.
    """
    output = _extract(model, preprocess(model, batch), layer)
    last = output[-1] if isinstance(output, (list, tuple)) else output
    if isinstance(last, Tensor) and last.ndim == 3:
        extra = getattr(model.backbone, 'num_extra_tokens', 0)
        output = last[:, 0] if extra else last.mean(1)
    return features_of(output).float()


def _extract(model: nn.Module, inputs: Tensor, layer: str) -> Any:
    if 'stage' in inspect.signature(model.extract_feat).parameters:
        return model.extract_feat(inputs, stage=layer)
    # Self-supervised algorithms give what their backbone gives, retrievers
    # what their neck gives.
    given = 'backbone' if hasattr(model, 'target_generator') else 'neck'
    neck = getattr(model, 'neck', None)
    known = (given,) if neck is None else (given, 'neck')
    check_choice(f'layer of {type(model).__name__}', layer, known)
    output = model.extract_feat(inputs)
    return output if layer == given else neck(output)


def _dataset_indices(dataset: Dataset) -> Tensor:
    """Where the samples of subsets lie in the data set itself."""
    indices = torch.arange(len(dataset))
    while isinstance(dataset, Subset):
        indices = torch.as_tensor(dataset.indices)[indices]
        dataset = dataset.dataset
    return indices

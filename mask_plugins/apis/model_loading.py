# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Build a trained model for analysis, with a backbone that drops tokens."""

import inspect
from typing import Any, Dict, Optional, Sequence

import torch
from mmengine.config import Config
from mmpretrain.models.backbones import BEiTViT
from torch import Tensor, nn

from mask_plugins.models.backbones import (
    PSSVisionTransformer,
    apply_token_sampling,
)

from .model import (
    averages_unused,
    build_model,
    config_scope,
    load_weights,
    read_trained,
)


def default_device() -> torch.device:
    """A GPU if there is one."""
    return torch.device('cuda' if torch.cuda.is_available() else 'cpu')


def load_model(
    cfg: Config,
    checkpoint: str,
    drop_ratios: Sequence[float] = (0.0,),
    scorer: Optional[str] = None,
    device: Optional[str] = None,
) -> nn.Module:
    """Build a classifier, load its weights, make it drop tokens.

    A plain ``BEiTViT`` or ``VisionTransformer`` gets token sampling: its
    state-dict keys stay, and without dropping it computes what it did. So
    baselines and models trained with a schedule are measured alike.

    A checkpoint of a run with an ``EMAHook`` holds two sets of weights. Those
    are loaded that the run itself evaluated: the average, or with
    ``evaluate_on_ema=False`` the trained ones.

    Args:
        cfg (Config): Its config.
        checkpoint (str): Its weights.
        drop_ratios (Sequence[float]): Ratios that will be asked for. With 0
            alone, any backbone will do. Defaults to (0,).
        scorer (str, optional): Replaces the one of the config. Defaults to
            None.
        device (str, optional): Defaults to None, a GPU if there is one.

    Returns:
        nn.Module: In eval mode, with drop ratio 0.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the weights do not fit, or the backbone cannot drop
            tokens.
    """
    device = torch.device(device) if device else default_device()
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'device {device}: there is no CUDA GPU here')
    weights = read_trained(checkpoint, averages_unused(cfg))
    model = build_model(cfg)
    if any(drop_ratios) or scorer is not None:
        with config_scope(cfg):
            _make_sampling(model, cfg)
    load_weights(model, weights, checkpoint)
    if scorer is not None:
        model.backbone.scorer = scorer
    set_drop_ratio(model, 0.0)
    model.to(device)
    # Not chained: backbones of mmpretrain return None from train().
    model.eval()
    return model


def set_drop_ratio(model: nn.Module, drop_ratio: float) -> None:
    """Set the share of tokens that the backbone drops."""
    backbone = getattr(model, 'backbone', None)
    if drop_ratio or hasattr(backbone, 'drop_ratio'):
        backbone.drop_ratio = drop_ratio


def preprocess(model: nn.Module, batch: Dict[str, Any]) -> Tensor:
    """The images of a batch as the backbone takes them, on its device."""
    return model.data_preprocessor(dict(batch), False)['inputs']


def _make_sampling(model: nn.Module, cfg: Config) -> None:
    backbone = getattr(model, 'backbone', None)
    if hasattr(backbone, 'drop_ratio'):
        return
    # Its subclasses compute something else.
    if type(backbone) is BEiTViT:
        model.backbone = _pss_from_beit(backbone, cfg.model.backbone)
        return
    try:
        apply_token_sampling(backbone)
    except TypeError as error:
        raise ValueError(
            f'the backbone {type(backbone).__name__} cannot drop tokens: '
            f'{error}. --drop-ratios 0 alone measures it as it is'
        ) from error


def _pss_from_beit(backbone: BEiTViT, cfg: dict) -> PSSVisionTransformer:
    """The same network, built by the class that can drop tokens."""
    given = {key: value for key, value in cfg.items() if key != 'type'}
    bound = inspect.signature(BEiTViT).bind(**given)
    bound.apply_defaults()
    settings = dict(bound.arguments, arch=dict(backbone.arch_settings))
    accepted = inspect.signature(PSSVisionTransformer).parameters
    stock = inspect.signature(BEiTViT).parameters
    for key in set(settings) - set(accepted):
        if settings.pop(key) != stock[key].default:
            raise ValueError(
                f'the backbone BEiTViT with {key}={cfg[key]!r} cannot drop '
                'tokens: mask_plugins.PSSVisionTransformer has no such '
                'setting. --drop-ratios 0 alone measures it as it is'
            )
    return PSSVisionTransformer(**settings)

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Build a trained model for analysis, with a backbone that drops tokens."""

import inspect
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models.backbones import BEiTViT
from torch import Tensor, nn

from mask_plugins.models.backbones import PSSVisionTransformer, sample_tokens
from mask_plugins.models.converters import read_checkpoint, take_weights
from mask_plugins.registry import MODELS


class _Ignored:
    """Stands in for what a stock checkpoint holds beside its weights.

    mmengine pickles its log history (numpy arrays, and bound methods through
    ``getattr``). None of it is needed here, so none of it is run.
    """

    def __init__(self, *args) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass


IGNORED = (
    'builtins.getattr',
    'mmengine.logging.history_buffer.HistoryBuffer',
    'numpy.dtype',
    'numpy.ndarray',
    'numpy._core.multiarray._reconstruct',
    'numpy._core.multiarray.scalar',
    'numpy.core.multiarray._reconstruct',
    'numpy.core.multiarray.scalar',
)


@contextmanager
def config_scope(cfg: Config) -> Iterator[None]:
    """Resolve types without a prefix as the config means them."""
    scope = cfg.get('default_scope') or 'mmpretrain'
    with DefaultScope.overwrite_default_scope(scope):
        yield


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
    weights = _read(checkpoint, _averages_unused(cfg))
    with config_scope(cfg):
        model_cfg = cfg.model.copy()
        if cfg.get('data_preprocessor') is not None:
            model_cfg.setdefault('data_preprocessor', cfg.data_preprocessor)
        model = MODELS.build(model_cfg)
        if any(drop_ratios) or scorer is not None:
            _make_sampling(model, cfg)
    _load(model, weights, checkpoint)
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
        sample_tokens(backbone)
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


def _averages_unused(cfg: Config) -> bool:
    """Whether the run averaged its weights but evaluated the trained ones."""
    hooks = list((cfg.get('default_hooks') or {}).values())
    hooks += cfg.get('custom_hooks') or []
    return any(
        isinstance(hook, dict)
        and _type_name(hook).endswith('EMAHook')
        and not hook.get('evaluate_on_ema', True)
        for hook in hooks
    )


def _type_name(cfg: dict) -> str:
    """The type of a config: a name, or a class in the new style."""
    kind = cfg.get('type')
    return getattr(kind, '__name__', str(kind))


def _read(checkpoint: str, trained: bool) -> Dict[str, Tensor]:
    """The weights; those before averaging if ``trained`` and they exist."""
    ignored = [(_Ignored, name) for name in IGNORED]
    with torch.serialization.safe_globals(ignored):
        loaded = read_checkpoint(checkpoint)
    key = 'state_dict'
    if trained and isinstance(loaded, dict) and 'ema_state_dict' in loaded:
        # EMAHook exchanges the two when it saves, whatever it evaluates.
        key = 'ema_state_dict'
        print(
            f'{checkpoint}: the trained weights are loaded, not their '
            'average, as the EMAHook of the config has evaluate_on_ema=False'
        )
    weights = take_weights(loaded, key, checkpoint)
    if key == 'ema_state_dict':
        # Beside the weights it counts its steps.
        weights.pop('steps', None)
    # A wrapper's prefix, as mmengine strips it too.
    return {
        key[len('module.') :] if key.startswith('module.') else key: value
        for key, value in weights.items()
    }


def _load(model: nn.Module, weights: Dict[str, Tensor], path: str) -> None:
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        # The first line names the class, each other one a kind of misfit.
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        details = '\n  '.join(
            line if len(line) <= 200 else f'{line[:200]} ...'
            for line in lines[:6]
        )
        raise ValueError(
            f'the weights of {path} do not fit the model of the config:\n  '
            f'{details}'
        ) from error

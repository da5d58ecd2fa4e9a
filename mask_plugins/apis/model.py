# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Build the model of a config and load the weights of a checkpoint."""

import copy
import inspect
import re
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mask_plugins.models.converters import take_weights
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import PathLike
from mask_plugins.utils.safe_load import read_checkpoint


@contextmanager
def config_scope(cfg: Config) -> Iterator[None]:
    """Resolve types without a prefix as the config means them.

    Examples:
        >>> with config_scope(Config(dict(default_scope='mmengine'))):
        ...     DefaultScope.get_current_instance().scope_name
        'mmengine'
    """
    scope = cfg.get('default_scope') or 'mmpretrain'
    with DefaultScope.overwrite_default_scope(scope):
        yield


def choose_device(device: Optional[str] = None) -> torch.device:
    """The device of that name, or a GPU if there is one.

    Args:
        device (str, optional): Such as ``'cpu'``. Defaults to None.

    Raises:
        ValueError: If there is no such device.

    Examples:
        >>> choose_device('cpu')
        device(type='cpu')
    """
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f'device {device!r}: {error}') from error
    if chosen.type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'device {device}: there is no CUDA GPU here')
    return chosen


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config, with its preprocessor, as the runner does.

    Args:
        cfg (Config): The whole config.

    Returns:
        nn.Module: As its constructor leaves it, on the CPU.

    Raises:
        ValueError: If the config has no model, or a type in it is unknown.

    Examples:
        >>> build_model(Config(dict(model=dict(type='mask_plugins.No'))))
        Traceback (most recent call last):
        ...
        ValueError: the model of the config cannot be built: ...
    """
    if cfg.get('model') is None:
        raise ValueError('the config has no model')
    model_cfg = cfg.model.copy()
    if cfg.get('data_preprocessor') is not None:
        # A copy: models write their defaults into it.
        preprocessor = copy.deepcopy(cfg.data_preprocessor)
        model_cfg.setdefault('data_preprocessor', preprocessor)
    try:
        with config_scope(cfg):
            return MODELS.build(model_cfg)
    except KeyError as error:  # of a registry, which says what to do
        raise ValueError(
            f'the model of the config cannot be built: {error.args[0]}'
        ) from error


def load_trained_model(
    cfg: Config,
    checkpoint: PathLike,
    drop_ratios: Sequence[float] = (0.0,),
    scorer: Optional[str] = None,
    device: Optional[str] = 'cpu',
) -> nn.Module:
    """Build a model and load its weights, all of them.

    If the run had an ``EMAHook``, the weights are those that the run itself
    evaluated: the average, or with ``evaluate_on_ema=False`` the trained
    ones.

    Where tokens will be dropped, a plain ``BEiTViT`` or
    ``VisionTransformer`` gets token sampling: its state-dict keys stay, and
    without dropping it computes what it did. So baselines and models trained
    with a schedule are measured alike.

    Args:
        cfg (Config): Its config.
        checkpoint (str | PathLike): Its weights, ``.pth`` or
            ``.safetensors``.
        drop_ratios (Sequence[float]): Ratios that will be asked for. With 0
            alone, any backbone will do. Defaults to (0,).
        scorer (str, optional): Replaces the one of the config. Defaults to
            None.
        device (str, optional): None is a GPU if there is one. Defaults to
            ``'cpu'``.

    Returns:
        nn.Module: In eval mode, with drop ratio 0. Names of classes that are
        in the checkpoint are in ``_dataset_meta``, as mmpretrain has them.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the file cannot be read, the weights do not fit, the
            backbone cannot drop tokens, or there is no such device.

    Examples:
        >>> load_trained_model(Config(dict()), 'no/such.pth')
        Traceback (most recent call last):
        ...
        FileNotFoundError: checkpoint not found: 'no/such.pth'
    """
    device = choose_device(device)
    loaded = read_checkpoint(checkpoint)
    weights = take_trained(loaded, averages_unused(cfg), checkpoint)
    model = build_model(cfg)
    if any(drop_ratios) or scorer is not None:
        with config_scope(cfg):
            _make_sampling(model, cfg)
    load_weights(model, weights, checkpoint)
    if scorer is not None:
        model.backbone.scorer = scorer
    set_drop_ratio(model, 0.0)
    model._dataset_meta = dataset_meta(loaded)
    model.to(device)
    model.eval()  # some of mmpretrain return None
    return model


def set_drop_ratio(model: nn.Module, drop_ratio: float) -> None:
    """Set the share of tokens that the backbone drops.

    Examples:
        >>> set_drop_ratio(nn.Linear(1, 1), 0.0)  # has no backbone
    """
    backbone = getattr(model, 'backbone', None)
    if drop_ratio or hasattr(backbone, 'drop_ratio'):
        backbone.drop_ratio = drop_ratio


def averages_unused(cfg: Config) -> bool:
    """Whether the run averaged its weights but evaluated the trained ones.

    Args:
        cfg (Config): The config of the run.

    Examples:
        >>> hook = dict(type='EMAHook', evaluate_on_ema=False)
        >>> averages_unused(Config(dict(custom_hooks=[hook])))
        True
    """
    hooks = list((cfg.get('default_hooks') or {}).values())
    hooks += cfg.get('custom_hooks') or []
    return any(
        isinstance(hook, dict)
        and type_name(hook).endswith('EMAHook')
        and not hook.get('evaluate_on_ema', True)
        for hook in hooks
    )


def read_trained(checkpoint: PathLike) -> Dict[str, Tensor]:
    """Read the weights of a checkpoint; nothing in it is run.

    Args:
        checkpoint (str | PathLike): ``.pth`` or ``.safetensors``.

    Returns:
        dict[str, Tensor]: Without the prefix of a wrapper.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or holds no weights.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({'module.a': torch.ones(1)}, f'{folder}/a.pth')
        ...     dict(read_trained(f'{folder}/a.pth'))
        {'a': tensor([1.])}
    """
    return take_trained(read_checkpoint(checkpoint), False, checkpoint)


def dataset_meta(loaded: Any) -> Dict[str, List[str]]:
    """Names of classes, if the checkpoint has them.

    Args:
        loaded (Any): What ``read_checkpoint`` returned.

    Examples:
        >>> dataset_meta(dict(meta=dict(dataset_meta=dict(classes=('a',)))))
        {'classes': ['a']}
    """
    for key in ('meta', 'dataset_meta', 'classes'):
        loaded = loaded.get(key) if isinstance(loaded, dict) else None
    if not isinstance(loaded, (list, tuple)):
        return {}
    return dict(classes=[str(name) for name in loaded])


def take_trained(
    loaded: Any, trained: bool, checkpoint: PathLike
) -> Dict[str, Tensor]:
    """Take the weights out of a checkpoint that was read.

    Args:
        loaded (Any): What ``read_checkpoint`` returned.
        trained (bool): Of a run with an ``EMAHook``, those before averaging,
            where there are any.
        checkpoint (str | PathLike): Where it comes from, for messages.

    Returns:
        dict[str, Tensor]: Without the prefix of a wrapper (``module.``,
        ``_orig_mod.``).

    Raises:
        ValueError: If it holds no weights.

    Examples:
        >>> loaded = dict(state_dict={'_orig_mod.a': torch.ones(1)})
        >>> dict(take_trained(loaded, False, 'a.pth'))
        {'a': tensor([1.])}
    """
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
        weights.pop('steps', None)  # the count of averaged steps
    return {
        re.sub(r'^module\.', '', name.replace('_orig_mod.', '')): item
        for name, item in weights.items()
    }


def load_weights(
    model: nn.Module, weights: Dict[str, Tensor], path: PathLike
) -> None:
    """Load all weights of a model, or raise a readable error.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): Exactly its state dict.
        path (str | PathLike): Where they come from, for the message.

    Raises:
        ValueError: If names or shapes do not fit.

    Examples:
        >>> load_weights(nn.Linear(1, 1), dict(weight=torch.ones(1, 1)), 'a')
        Traceback (most recent call last):
        ...
        ValueError: the weights of a do not fit the model of the config:
          Missing key(s) in state_dict: "bias".
    """
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        # The first line names the class, each other one a kind of misfit.
        lines = [line.strip()[:200] for line in str(error).splitlines()[1:]]
        raise ValueError(
            f'the weights of {path} do not fit the model of the config:\n  '
            + '\n  '.join(lines[:6])
        ) from error


def type_name(part: Any) -> str:
    """Name of the type of a config, or of what was built from one.

    Examples:
        >>> type_name(dict(type='Resize')), type_name(dict(type=nn.Linear))
        ('Resize', 'Linear')
    """
    kind = part.get('type') if isinstance(part, dict) else type(part)
    return getattr(kind, '__name__', str(kind))


def _make_sampling(model: nn.Module, cfg: Config) -> None:
    from mmpretrain.models.backbones import BEiTViT

    from mask_plugins.models.backbones import apply_token_sampling

    backbone = getattr(model, 'backbone', None)
    if hasattr(backbone, 'drop_ratio'):
        return
    try:
        # Subclasses of BEiTViT compute something else.
        if type(backbone) is BEiTViT:
            model.backbone = _pss_from_beit(backbone, cfg.model.backbone)
        else:
            apply_token_sampling(backbone)
    except TypeError as error:
        raise ValueError(
            f'the backbone {type(backbone).__name__} cannot drop tokens: '
            f'{error}. --drop-ratios 0 alone measures it as it is'
        ) from error


def _pss_from_beit(backbone: nn.Module, cfg: dict) -> nn.Module:
    """The same network, built by the class that can drop tokens."""
    from mask_plugins.models.backbones import PSSVisionTransformer

    signature = inspect.signature(type(backbone))
    accepted = inspect.signature(PSSVisionTransformer).parameters
    given = {key: value for key, value in cfg.items() if key != 'type'}
    bound = signature.bind(**given)
    bound.apply_defaults()
    settings = dict(bound.arguments, arch=dict(backbone.arch_settings))
    for key in set(settings) - set(accepted):
        if settings.pop(key) != signature.parameters[key].default:
            raise TypeError(
                f'{key}={cfg[key]!r} is not a setting of '
                'mask_plugins.PSSVisionTransformer'
            )
    return PSSVisionTransformer(**settings)

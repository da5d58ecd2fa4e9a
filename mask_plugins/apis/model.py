# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Build the model of a config and load the weights of a checkpoint."""

import copy
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mask_plugins.models.converters import read_run_checkpoint, take_weights
from mask_plugins.registry import MODELS


@contextmanager
def config_scope(cfg: Config) -> Iterator[None]:
    """Resolve types without a prefix as the config means them."""
    scope = cfg.get('default_scope') or 'mmpretrain'
    with DefaultScope.overwrite_default_scope(scope):
        yield


def build_model(cfg: Config) -> nn.Module:
    """The model of a config, with its data preprocessor, as the runner does.

    Args:
        cfg (Config): The whole config.

    Returns:
        nn.Module: As its constructor leaves it, on the CPU.

    Raises:
        ValueError: If the config has no model, or a type in it is unknown.
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


def load_trained_model(cfg: Config, checkpoint: str) -> nn.Module:
    """Build a model and load its weights, all of them.

    Of the checkpoint of a run with an ``EMAHook`` those weights are loaded
    that the run itself evaluated: the average, or with
    ``evaluate_on_ema=False`` the trained ones.

    Args:
        cfg (Config): Its config.
        checkpoint (str): Its weights, ``.pth`` or ``.safetensors``.

    Returns:
        nn.Module: In eval mode, on the CPU. Names of classes that are in the
        checkpoint are in ``_dataset_meta``, where mmpretrain has them too.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the weights do not fit.
    """
    loaded = read_run_checkpoint(checkpoint)
    weights = take_trained(loaded, averages_unused(cfg), checkpoint)
    model = build_model(cfg)
    load_weights(model, weights, checkpoint)
    model._dataset_meta = dataset_meta(loaded)
    # Not chained: backbones of mmpretrain return None from train().
    model.eval()
    return model


def averages_unused(cfg: Config) -> bool:
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


def read_trained(checkpoint: str, trained: bool = False) -> Dict[str, Tensor]:
    """The weights of a checkpoint, read without pickle.

    Args:
        checkpoint (str): ``.pth`` or ``.safetensors``.
        trained (bool): Of a run with an ``EMAHook``, those before averaging,
            where there are any. Defaults to False.

    Returns:
        dict[str, Tensor]: The prefix of a wrapper is taken off.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no weights.
    """
    return take_trained(read_run_checkpoint(checkpoint), trained, checkpoint)


def dataset_meta(loaded: Any) -> Dict[str, List[str]]:
    """Names of classes, if the checkpoint has them."""
    meta = loaded.get('meta') if isinstance(loaded, dict) else None
    meta = meta.get('dataset_meta') if isinstance(meta, dict) else None
    names = meta.get('classes') if isinstance(meta, dict) else None
    if not isinstance(names, (list, tuple)):
        return {}
    return dict(classes=[str(name) for name in names])


def take_trained(
    loaded: Any, trained: bool, checkpoint: str
) -> Dict[str, Tensor]:
    """Take the weights out of a checkpoint that was read.

    Args:
        loaded (Any): What ``read_run_checkpoint`` returned.
        trained (bool): See :func:`read_trained`.
        checkpoint (str): Where it comes from, for messages.

    Returns:
        dict[str, Tensor]: The prefix of a wrapper is taken off.

    Raises:
        ValueError: If it holds no weights.
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
        # Beside the weights it counts its steps.
        weights.pop('steps', None)
    # A wrapper's prefix, as mmengine strips it too.
    return {
        key[len('module.') :] if key.startswith('module.') else key: value
        for key, value in weights.items()
    }


def load_weights(
    model: nn.Module, weights: Dict[str, Tensor], path: str
) -> None:
    """Load all weights of a model, or raise a readable error.

    Args:
        model (nn.Module): The model.
        weights (dict[str, Tensor]): Exactly its state dict.
        path (str): Where they come from, for the message.

    Raises:
        ValueError: If names or shapes do not fit.
    """
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

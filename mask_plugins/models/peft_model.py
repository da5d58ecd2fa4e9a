# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""LoRA and other adapters of peft on any registered model."""

from typing import Any, Dict, Optional, Union

from torch import nn

from mask_plugins.models.build_module import build_module
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_type
from mask_plugins.utils.openmmlab import imports_for


@MODELS.register_module(name='PeftModel')
def build_peft_model(
    module: Union[dict, nn.Module],
    adapter: Dict[str, Any],
    data_preprocessor: Optional[dict] = None,
) -> nn.Module:
    """Build a backbone or a whole model with an adapter of peft in it.

    The baseline of :class:`mask_plugins.MaskedModel` for storage.
    mmpretrain's ``LoRAModel`` takes linear layers; peft takes convolutions
    too. In a config: ``backbone=dict(type='mask_plugins.PeftModel',
    module=dict(type='ResNet', depth=18), adapter=dict(type='LoraConfig',
    r=8, target_modules=['conv1']))``. Weights of ``init_cfg`` are loaded
    before the adapter is added; only the adapter is trained. Needs
    ``pip install peft``.

    Args:
        module (dict | nn.Module): Config of any model.
        adapter (dict): ``type``, the name of a config class of peft, and its
            arguments.
        data_preprocessor (dict, optional): The runner adds it for a whole
            model; passed on.

    Returns:
        nn.Module: The model itself, not a wrapper around it.

    Raises:
        ImportError: If peft is not installed.
        TypeError: If ``adapter`` is not a dict.
        ValueError: If peft has no such config, or it fits no layer.

    Examples:
        >>> lora = dict(type='LoraConfig', r=2, target_modules=['0'])
        >>> build_peft_model(
        ...     nn.Sequential(nn.Linear(3, 3)), lora)  # doctest: +SKIP
    """
    check_type('adapter', adapter, dict, "dict(type='LoraConfig', ...)")
    with imports_for('mask_plugins.PeftModel'):
        import peft
    if isinstance(module, dict):
        module = build_module(module, data_preprocessor)
        module.init_weights()  # the keys are those of the stock model
    options = dict(adapter)
    kind = options.pop('type', None)
    config = getattr(peft, str(kind), None)
    if not (isinstance(config, type) and issubclass(config, peft.PeftConfig)):
        raise ValueError(
            f'adapter: peft has no config {kind!r}; use LoraConfig or another'
        )
    return peft.inject_adapter_in_model(config(**options), module)

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masks for OpenMMLab: weights, tokens, features and patches.

``import mask_plugins as mp`` gives one verb pair per family,
``mp.apply_weight_masks`` / ``mp.remove_weight_masks``,
``mp.apply_token_sampling`` / ``mp.remove_token_sampling`` and
``mp.apply_patch_gates`` / ``mp.remove_patch_gates``, and the functions around
them. They are imported when first used: importing the package imports neither
torch nor anything of OpenMMLab but, where it is installed, the table of
mmengine that makes ``_base_ = ['mask_plugins::...']`` resolvable.
"""

from importlib import import_module

from .version import __version__

try:
    from mmengine.config.utils import MODULE2PACKAGE
except ImportError:  # plain PyTorch: core/ and functional/ serve it too
    pass
else:
    MODULE2PACKAGE.setdefault('mask_plugins', 'mask_plugins')

# Name -> where it is defined.
_EXPORTS = {
    name: module
    for module, names in {
        'core.weights': (
            'ScoreMask',
            'SoftMask',
            'SoftMaskConv2d',
            'SoftMaskLinear',
            'activate_masks',
            'active_masks',
            'apply_adapters',
            'apply_weight_masks',
            'combine_adapters',
            'disable_masks',
            'hold_masks',
            'load_masks',
            'loaded_masks',
            'make_ticket',
            'mask_report',
            'merge_masks',
            'named_masks',
            'pack_masks',
            'remove_weight_masks',
            'to_semi_structured',
            'unload_masks',
            'unmerge_masks',
        ),
        'core.patches': (
            'apply_patch_gates',
            'gated_layers',
            'remove_patch_gates',
        ),
        'models.backbones.token_sampler': (
            'apply_token_sampling',
            'remove_token_sampling',
        ),
        'apis.model_hub': ('register_models',),
    }.items()
    for name in names
}

__all__ = ['__version__', *sorted(_EXPORTS)]


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(import_module(f'{__name__}.{_EXPORTS[name]}'), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_EXPORTS})

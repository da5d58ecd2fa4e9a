# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Child registries of mmengine's, all in the scope ``mask_plugins``.

Every floor of the package may import this module; of ours it imports what
checks arguments and what names a missing project, which import nothing.
``locations`` are imported by mmengine at the first look-up of a type with our
prefix, so ``type='mask_plugins.X'`` works in any OpenMMLab config without
``custom_imports``.
"""

from mask_plugins.utils.checked import checked
from mask_plugins.utils.openmmlab import imports_for

with imports_for():
    from mmengine import registry as root
    from mmengine.registry import DefaultScope, Registry

SCOPE = 'mask_plugins'


class ScopedRegistry(Registry):
    """A registry that finds what a config means by a bare name.

    mmengine builds everything that comes from a ``mask_plugins::`` base in
    the scope ``mask_plugins``. Such a base names the types of mmpretrain (or
    mmdet, mmseg) bare, so a bare name that is not ours is looked up in the
    default scope of the config, or in mmpretrain if there is none. Nothing
    changes in the other direction: a bare name of ours is unknown there.

    Examples:
        >>> from mask_plugins.registry import MODELS
        >>> MODELS.get('ImageClassifier').__module__
        'mmpretrain.models.classifiers.image'
    """

    def _register_module(self, module, *args, **kwargs) -> None:
        # Classes of core/ serve without mmengine and check for themselves.
        start = module.__module__.partition('.core.')[0]
        init = vars(module).get('__init__')  # of a class
        if init and start.startswith(SCOPE) and start == module.__module__:
            if not hasattr(init, '__wrapped__'):
                module.__init__ = checked(init, module.__mro__[1:])
        super()._register_module(module, *args, **kwargs)

    def get(self, key: str):
        """The class registered as ``key``, None if there is none."""
        found = super().get(key)
        if found is None and '.' not in key:
            # It imports that scope and finds its registry of our kind.
            with self.switch_scope_and_registry(_config_scope()) as other:
                found = None if other is self else other.get(key)
        return found


def _config_scope() -> str:
    """The newest default scope that is not ours: that of the config."""
    for scope in reversed(DefaultScope._instance_dict.values()):
        if scope.scope_name not in (SCOPE, 'mmengine'):
            return scope.scope_name
    return 'mmpretrain'


def _child(parent: Registry, location: str, name: str = '') -> Registry:
    return ScopedRegistry(
        name or parent.name,
        parent=parent,
        scope=SCOPE,
        locations=[f'{SCOPE}.{location}'],
    )


MODELS = _child(root.MODELS, 'models')
HOOKS = _child(root.HOOKS, 'engine')
OPTIMIZERS = _child(root.OPTIMIZERS, 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS, 'engine')
METRICS = _child(root.METRICS, 'evaluation.metrics')
LOOPS = _child(root.LOOPS, 'engine')
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, 'engine')
# Values that change over training (drop ratio, temperature, ...), not learning
# rates: those are parameter schedulers.
SCHEDULES = _child(root.TASK_UTILS, 'engine', 'schedule')
DATASETS = _child(root.DATASETS, 'datasets')
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, 'datasets')
TRANSFORMS = _child(root.TRANSFORMS, 'datasets')
# Nothing of ours is in these kinds, but a base of ours may ask for one.
for _kind in (
    'EVALUATOR', 'FUNCTIONS', 'INFERENCERS', 'LOG_PROCESSORS',
    'MODEL_WRAPPERS', 'OPTIM_WRAPPERS', 'RUNNERS', 'RUNNER_CONSTRUCTORS',
    'STRATEGIES', 'VISBACKENDS', 'VISUALIZERS', 'WEIGHT_INITIALIZERS',
):  # fmt: skip
    if hasattr(root, _kind):
        _child(getattr(root, _kind), 'registry')

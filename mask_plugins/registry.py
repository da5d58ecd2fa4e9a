# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Child registries of mmengine's, all in the scope ``mask_plugins``.

Every floor of the package may import this module; it imports nothing of ours.
``locations`` are imported by mmengine at the first look-up of a type with our
prefix, so ``type='mask_plugins.X'`` works in any OpenMMLab config without
``custom_imports``.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope='mask_plugins',
    locations=['mask_plugins.models'],
)
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='mask_plugins',
    locations=['mask_plugins.engine'],
)
OPTIMIZERS = Registry(
    'optimizer',
    parent=MMENGINE_OPTIMIZERS,
    scope='mask_plugins',
    locations=['mask_plugins.engine'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='mask_plugins',
    locations=['mask_plugins.engine'],
)
METRICS = Registry(
    'metric',
    parent=MMENGINE_METRICS,
    scope='mask_plugins',
    locations=['mask_plugins.evaluation.metrics'],
)
LOOPS = Registry(
    'loop',
    parent=MMENGINE_LOOPS,
    scope='mask_plugins',
    locations=['mask_plugins.engine'],
)
PARAM_SCHEDULERS = Registry(
    'parameter scheduler',
    parent=MMENGINE_PARAM_SCHEDULERS,
    scope='mask_plugins',
    locations=['mask_plugins.engine'],
)
# Values that change over training (drop ratio, temperature, ...), not learning
# rates: those are parameter schedulers.
SCHEDULES = Registry(
    'schedule',
    parent=MMENGINE_TASK_UTILS,
    scope='mask_plugins',
    locations=['mask_plugins.engine'],
)
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='mask_plugins',
    locations=['mask_plugins.datasets'],
)
DATA_SAMPLERS = Registry(
    'data sampler',
    parent=MMENGINE_DATA_SAMPLERS,
    scope='mask_plugins',
    locations=['mask_plugins.datasets'],
)
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope='mask_plugins',
    locations=['mask_plugins.datasets'],
)

# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the recipe of a run is, and readable names of several of them."""

import re
from typing import Any, Dict, List, Optional, Sequence

# ``mim gridsearch`` writes <config>_search_<key>_<value>_... into each
# work_dir.
SEARCH = re.compile(r'_search_(?P<options>.+)$')
MISSING = '(none)'
# What two runs of one recipe may differ in.
NO_RECIPE = (
    'seed', 'work_dir', 'resume', 'launcher', 'log_level', 'visualizer',
    'vis_backends', 'experiment_name',
)  # fmt: skip


def base_name(config_name: Optional[str]) -> Optional[str]:
    """Name of a config without what ``mim gridsearch`` appends to it.

    Examples:
        >>> base_name('mf_digits_search_mask_ratio_0.5')
        'mf_digits'
    """
    return None if config_name is None else SEARCH.sub('', config_name)


def label_by_options(configs: Sequence[Dict[str, Any]]) -> List[str]:
    """Say in what each of several configs differs from the others.

    Args:
        configs (Sequence[dict]): Nested settings.

    Returns:
        list[str]: As ``mask_ratio=0.5, inv_mode=v1``: every setting that
        differs, under the shortest end of its key that tells it apart, in the
        order of the config.

    Examples:
        >>> label_by_options([dict(k=1, lr=1), dict(k=1, lr=2)])
        ['lr=1', 'lr=2']
    """
    flat = [_flatten(config) for config in configs]
    keys = list(dict.fromkeys(key for config in flat for key in config))
    differing = [
        key
        for key in keys
        if len({repr(config.get(key, MISSING)) for config in flat}) > 1
    ]
    names = short_names(differing)
    return [
        ', '.join(
            f'{names[key]}={config.get(key, MISSING)}' for key in differing
        )
        for config in flat
    ]


def _flatten(value: Any, key: str = '') -> Dict[str, Any]:
    """Dotted key -> value; items of lists by their place."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)) and any(
        isinstance(item, (dict, list, tuple)) for item in value
    ):
        items = enumerate(value)
    else:
        return {key: value}
    found: Dict[str, Any] = {}
    for name, item in items:
        found.update(_flatten(item, f'{key}.{name}' if key else str(name)))
    return found


def short_names(keys: Sequence[str]) -> Dict[str, str]:
    """The last parts of each dotted key, as many as make it unique.

    Examples:
        >>> short_names(['a.lr', 'b.lr', 'model.k'])
        {'a.lr': 'a.lr', 'b.lr': 'b.lr', 'model.k': 'k'}
    """
    names = {}
    for key in keys:
        parts = key.split('.')
        for count in range(1, len(parts) + 1):
            name = '.'.join(parts[-count:])
            same = [
                other for other in keys if f'.{other}'.endswith(f'.{name}')
            ]
            if len(same) == 1:
                break
        names[key] = name
    return names


def recipe_of(config: Dict[str, Any]) -> Dict[str, Any]:
    """Settings of a run without those that runs of one recipe differ in.

    Examples:
        >>> recipe_of(dict(model=dict(k=1), seed=3, work_dir='w'))
        {'model': {'k': 1}}
    """
    # `load_from` says from where a run was resumed; otherwise it names the
    # weights that the run started with. None is as good as absent.
    if config.get('resume') or config.get('load_from') is None:
        config.pop('load_from', None)
    return _without_seeds(config)


def _without_seeds(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            str(key): _without_seeds(item)
            for key, item in value.items()
            if key not in NO_RECIPE
        }
    if isinstance(value, (list, tuple)):
        return [_without_seeds(item) for item in value]
    return value

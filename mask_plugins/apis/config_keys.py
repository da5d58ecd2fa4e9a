# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Is a key that is set on a command line read by anything?"""

import difflib
import inspect
import warnings
from typing import Any, Iterator, List, Mapping, NamedTuple, Tuple

from mmengine.runner import Runner

# Arguments of mmengine's Runner, and what else runners and tools read.
READ = (
    *inspect.signature(Runner).parameters,
    'activation_checkpointing', 'auto_scale_lr', 'compile', 'custom_imports',
    'efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg',
    'runner_type', 'strategy', 'sync_bn', 'tta_model', 'tta_pipeline',
)  # fmt: skip


class Unread(NamedTuple):
    """A key that changes nothing.

    Args:
        text (str): Why, and what to set instead.
        used_up (bool): Whether it is a variable of the config file whose
            value stands in other places.
    """

    text: str
    used_up: bool


def unread_keys(cfg: Mapping, keys: Any) -> List[Unread]:
    """Those keys that no runner reads.

    Args:
        cfg (Mapping): The config as its file has it.
        keys (Iterable[str]): Dotted keys that are to be set.

    Examples:
        >>> cfg = dict(rate=0.1, optim_wrapper=dict(optimizer=dict(lr=0.1)))
        >>> print(unread_keys(cfg, ['rate'])[0].text)
        'rate' is a variable of the config file, used up when the file is \
read: set optim_wrapper.optimizer.lr
        >>> print(unread_keys(cfg, ['optim_wraper.lr'])[0].text)
        nothing reads 'optim_wraper.lr'; near names: optim_wrapper
    """
    found = []
    for key in keys:
        top, *path = key.split('.')
        if top in READ:
            continue
        if top not in cfg:
            known = difflib.get_close_matches(top, {*READ, *cfg}, n=3)
            near = f'; near names: {", ".join(known)}' if known else ''
            found.append(Unread(f'nothing reads {key!r}{near}', False))
            continue
        # A part of a list or dict stands wherever the whole does.
        places = [
            '.'.join([place, *path])
            for place, value in walk({k: cfg[k] for k in READ if k in cfg})
            if type(value) is type(cfg[top]) and value == cfg[top]
        ]
        instead = ' or '.join(places[:6]) or 'the keys that are made of it'
        text = (
            f'{key!r} is a variable of the config file, used up when the file '
            f'is read: set {instead}'
        )
        found.append(Unread(text, bool(places)))
    return found


def check_options(cfg: Mapping, options: Any) -> None:
    """Refuse ``--cfg-options`` that change nothing, warn of unknown ones.

    Args:
        cfg (Mapping): The config as its file has it.
        options (Mapping, optional): Dotted keys and values; None is none.

    Raises:
        ValueError: If a key is a variable of the config file whose value
            stands in other places, which are named.

    Examples:
        >>> cfg = dict(rate=0.1, optim_wrapper=dict(optimizer=dict(lr=0.1)))
        >>> check_options(cfg, {'optim_wrapper.optimizer.lr': 0.2})
        >>> check_options(cfg, {'rate': 0.2})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: --cfg-options: 'rate' is a variable of the config file...
    """
    for unread in unread_keys(cfg, options or ()):
        if unread.used_up:
            raise ValueError(f'--cfg-options: {unread.text}')
        # A hook of the user may read it from runner.cfg.
        warnings.warn(f'--cfg-options: {unread.text}', stacklevel=2)


def walk(value: Any, key: str = '') -> Iterator[Tuple[str, Any]]:
    """Each dotted key below a value, and what it holds.

    Args:
        value (Any): Nested dicts and lists.
        key (str): The key of ``value`` itself. Defaults to ``''``.

    Examples:
        >>> dict(walk(dict(a=[1, dict(b=2)])))
        {'a': [1, {'b': 2}], 'a.0': 1, 'a.1': {'b': 2}, 'a.1.b': 2}
    """
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    for name, item in value.items() if isinstance(value, Mapping) else ():
        path = f'{key}.{name}' if key else str(name)
        yield path, item
        yield from walk(item, path)

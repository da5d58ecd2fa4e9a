# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the YAML of a cascade says."""

import os.path as osp
from typing import Any, Dict, List, NamedTuple, Optional

from mmengine.config import Config

from mask_plugins.apis.config import read_config
from mask_plugins.apis.find_config import find_config
from mask_plugins.functional.combine import METHODS
from mask_plugins.utils.checks import (
    PathLike,
    check_choice,
    check_int,
    check_number,
    check_path,
    check_type,
)
from mask_plugins.utils.yaml_file import read_yaml


class CascadeSettings(NamedTuple):
    """A cascade as it was asked for.

    Args:
        dispatcher (str): Config of the dispatcher, a path or a name.
        clusters (int): Number of clusters, and of experts. Defaults to 5.
        components (int): Of the PCA. Defaults to 20.
        reg_covar (float, optional): See
            :func:`mask_plugins.analysis.cascade.cluster.fit_clusters`.
        seed (int): Of all steps. Defaults to 0.
        methods (list[str]): Combinations that are evaluated; all by default.
        k (int): Neighbors of the k-NN. Defaults to 200.
        overrides (dict): Dotted keys of the dispatcher's config and values.

    Examples:
        >>> CascadeSettings('dispatcher.py').check().clusters
        5
    """

    dispatcher: str
    clusters: int = 5
    components: int = 20
    reg_covar: Optional[float] = None
    seed: int = 0
    methods: List[str] = METHODS
    k: int = 200
    overrides: Dict[str, Any] = {}

    def check(self) -> 'CascadeSettings':
        """Itself, if all of it is allowed.

        Raises:
            TypeError, ValueError: If not; the message names the key.
        """
        check_type('dispatcher', self.dispatcher, str, 'a config')
        check_int('clusters', self.clusters, 1)
        check_int('components', self.components, 1)
        check_number('reg_covar', self.reg_covar, 0, ends='()', optional=True)
        check_int('seed', self.seed, 0, 2**32 - 1)
        check_int('k', self.k, 1)
        check_type('methods', self.methods, (list, tuple), 'a list')
        for method in self.methods:
            check_choice('methods', method, METHODS)
        check_type('overrides', self.overrides, dict, 'a dict')
        return self

    def config(self) -> Config:
        """The config of the dispatcher, with seed and overrides."""
        cfg = read_config(find_config(self.dispatcher))
        cfg.merge_from_dict({**self.overrides, 'randomness.seed': self.seed})
        return cfg


def read_settings(path: PathLike) -> CascadeSettings:
    """Read a YAML file.

    Args:
        path (str | os.PathLike): The file; its ``dispatcher`` is relative to
            it, or a name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not YAML, or has other keys or values.

    Examples:
        >>> read_settings('nowhere.yaml')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        FileNotFoundError: config: no file nowhere.yaml, and ...
    """
    path = find_config(check_path('path', path))
    try:
        content = read_yaml(path)
        check_type('the file', content, dict, 'keys and values')
        for key in content:
            check_choice('a key', key, CascadeSettings._fields)
        if 'dispatcher' not in content:
            raise ValueError('dispatcher must name a config')
        settings = CascadeSettings(**content).check()
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from error
    near = osp.join(osp.dirname(osp.abspath(path)), settings.dispatcher)
    if osp.isfile(near):
        settings = settings._replace(dispatcher=near)
    return settings

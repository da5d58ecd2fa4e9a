# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Parameter groups by role: masks, trained weights, head."""

import inspect
import logging
from collections import Counter
from fnmatch import fnmatchcase
from typing import Dict, List, Optional

from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIMIZERS
from torch import nn

from mask_plugins.core.weights import WeightMask
from mask_plugins.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mask_plugins.utils.checks import check_choice, check_number, check_type

ROLES = ('masks', 'weights', 'head')
_SCALED = ('lr', 'weight_decay')
_STOCK = (
    'custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult',
    'flat_decay_mult', 'dwconv_decay_mult', 'dcn_offset_lr_mult',
    'bypass_duplicate',
)  # fmt: skip


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MaskOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Give masks, trained weights and head rates and decays of their own.

    The module that owns a parameter decides its role, not its name:

    - ``masks``: it is inside a :class:`mask_plugins.core.weights.WeightMask`
      (scores or logits);
    - ``head``: it is at or below a module that ``head_modules`` names;
    - ``weights``: any other trained parameter.

    Frozen parameters are left out. Options in a role are absolute: ``lr=0.15``
    is a rate of 0.15 whatever the optimizer's own. In a config::

        optim_wrapper = dict(
            constructor='mask_plugins.MaskOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=50., momentum=0.9),
            paramwise_cfg=dict(head=dict(lr=0.15, weight_decay=1e-6)),
        )

    Parameters with equal options are one group, masks first, so that the
    logged rate is theirs. A group has its role under the key ``role``.

    Args:
        optim_wrapper_cfg (dict): Config of the optimizer wrapper.
        paramwise_cfg (dict, optional): Any of

            - ``masks``, ``weights``, ``head`` (dict): options of the optimizer
              for this role. Those that are not given are the optimizer's;
              only ``masks`` have a ``weight_decay`` of 0 by default, since
              decay pulls scores to the threshold.
            - ``head_modules`` (str | Sequence[str]): shell patterns of the
              path of a module, or of its end. Defaults to ``('head',)``.
            - ``masked_head`` (str): role of masks in the head, ``'masks'``
              or ``'head'``. Defaults to ``'masks'``.
            - what the stock constructor knows, such as ``custom_keys`` and
              ``norm_decay_mult``: the multipliers are of the role's rate and
              decay.

    Raises:
        TypeError: If the options of a role are not a dict.
        ValueError: If a key, an option or a value is unknown, a pattern of
            ``head_modules`` matches no module, a role with options has no
            parameters, or nothing is trained at all.

    Examples:
        >>> optim_wrapper = dict(
        ...     constructor='mask_plugins.MaskOptimWrapperConstructor',
        ...     optimizer=dict(type='SGD', lr=50.0, momentum=0.9),
        ...     paramwise_cfg=dict(weights=dict(lr=0.1)),
        ... )
        >>> name = optim_wrapper['constructor']
        >>> found = OPTIM_WRAPPER_CONSTRUCTORS.get(name)
        >>> found.__name__
        'MaskOptimWrapperConstructor'
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None
    ) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        # The stock class ignores the constructor if this is empty.
        self.paramwise_cfg = {'masked_head': 'masks', **self.paramwise_cfg}
        head = self.paramwise_cfg.get('head_modules', ('head',))
        self.head_modules = (head,) if isinstance(head, str) else tuple(head)
        self.options = {r: dict(self.paramwise_cfg.get(r, {})) for r in ROLES}
        self.options['masks'].setdefault('weight_decay', 0.0)

    def _validate_cfg(self) -> None:
        """Refuse what would be ignored or fail later."""
        cfg = check_type('paramwise_cfg', self.paramwise_cfg, dict, 'a dict')
        keys = (*ROLES, 'head_modules', 'masked_head', *_STOCK)
        for key in cfg:
            check_choice('a key of paramwise_cfg', key, keys)
        role = cfg.get('masked_head', 'masks')
        check_choice('paramwise_cfg.masked_head', role, ('masks', 'head'))
        known = self._known_options()
        for role in ROLES:
            name = f'paramwise_cfg.{role}'
            options = check_type(name, cfg.get(role, {}), dict, 'a dict')
            for key in options if known else ():
                what = f'an option of {name} for {self.optimizer_cfg["type"]}'
                check_choice(what, key, sorted(known))
            for key in _SCALED:
                check_number(f'{name}.{key}', options.get(key, 0), low=0)
        if cfg.get('custom_keys') and self.base_lr is None:
            raise ValueError('custom_keys multiply the lr: give one')
        super()._validate_cfg()

    def _known_options(self) -> set:
        """Options of a parameter group; empty if that cannot be told."""
        kind = self.optimizer_cfg['type']
        if isinstance(kind, str):
            with OPTIMIZERS.switch_scope_and_registry(None) as registry:
                kind = registry.get(kind)
        if kind is None:  # the stock class will say so
            return set()
        _, *parameters = inspect.signature(kind).parameters.values()
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        return set() if takes_any else {p.name for p in parameters}

    def add_params(
        self, params: List[dict], module: nn.Module, prefix='', **kwargs
    ) -> None:
        """See the stock class; the rates are those of the module's role.

        Args:
            params (list[dict]): Groups, changed in place.
            module (nn.Module): Walked with its children.
            prefix (str): Its path. Defaults to ''.
            **kwargs: See the stock class.
        """
        if prefix:
            self._add(params, module, prefix, kwargs)
            return
        self._check_head_modules(module)
        # Not the stock class's lines per parameter, frozen ones included.
        logger = MMLogger.get_current_instance()
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            self._add(params, module, prefix, kwargs)
        finally:
            logger.setLevel(level)
        params[:] = self._merge(params)
        self._log(params)

    def _add(self, params, module, prefix: str, kwargs: dict) -> None:
        role = self._role(module, prefix)
        stock = {k: self.optimizer_cfg.get(k) for k in _SCALED}
        options = {**stock, **self.options[role]}
        base, start = (self.base_lr, self.base_wd), len(params)
        self.base_lr, self.base_wd = options['lr'], options['weight_decay']
        super().add_params(params, module, prefix, **kwargs)
        self.base_lr, self.base_wd = base
        for group in params[start:]:
            if 'role' not in group:  # not one of the children's
                group.update({**self.options[role], **group, 'role': role})

    def _role(self, module: nn.Module, prefix: str) -> str:
        in_head = any(self._matches(prefix, p) for p in self.head_modules)
        if isinstance(module, WeightMask):
            wins = self.paramwise_cfg['masked_head'] == 'head'
            return 'head' if in_head and wins else 'masks'
        return 'head' if in_head else 'weights'

    @staticmethod
    def _matches(path: str, pattern: str) -> bool:
        """Whether the module, or one that it is in, has this name."""
        parts = path.split('.')
        above = ('.'.join(parts[:end]) for end in range(1, len(parts) + 1))
        return any(
            fnmatchcase(name, pattern) or fnmatchcase(name, f'*.{pattern}')
            for name in above
        )

    def _check_head_modules(self, model: nn.Module) -> None:
        if 'head_modules' not in self.paramwise_cfg:
            return  # a model without a head may use the default
        paths = [path for path, _ in model.named_modules() if path]
        for pattern in self.head_modules:
            if not any(self._matches(path, pattern) for path in paths):
                what = f'{pattern!r} matches no module'
                raise ValueError(f'paramwise_cfg.head_modules: {what}')

    def _merge(self, params: List[dict]) -> List[dict]:
        """One group per role and options; a tied parameter once."""
        found = Counter(group['role'] for group in params)
        for role in ROLES:
            if role in self.paramwise_cfg and not found[role]:
                trained = dict(found) or 'nothing'
                raise ValueError(f'options for {role}, it trains {trained}')
        if not params:
            raise ValueError('the model trains no parameter: all are frozen')
        groups: Dict[str, dict] = {}
        seen = set()
        for group in sorted(params, key=lambda g: ROLES.index(g['role'])):
            (parameter,) = group.pop('params')
            if id(parameter) not in seen:
                seen.add(id(parameter))
                same = dict(params=[], **group)
                same = groups.setdefault(repr(sorted(group.items())), same)
                same['params'].append(parameter)
        return list(groups.values())

    def _log(self, groups: List[dict]) -> None:
        for group in groups:
            told = {k: self.optimizer_cfg.get(k) for k in _SCALED}
            told.update(group)
            tensors, role = told.pop('params'), told.pop('role')
            said = f'{role}: {len(tensors)} tensors, '
            said += f'{sum(p.numel() for p in tensors):,} elements'
            for key, value in told.items():
                if value is not None:
                    value = f'{value:g}' if type(value) is float else value
                    said += f', {key} {value}'
            print_log(said, logger='current')

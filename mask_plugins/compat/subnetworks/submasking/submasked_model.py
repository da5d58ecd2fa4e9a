# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The wrapper of the authors' package."""

from functools import partial
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import torch
from torch import Tensor, nn

from mask_plugins.core.weights import (
    ScoreMask,
    apply_weight_masks,
    named_masks,
    score_mask,
)
from mask_plugins.utils.checks import check_choice

from .inits import default_scores_init
from .original_checkpoint import translate_state
from .scores import Scores

MODES = ('mask', 'train', 'freeze')
SHELL_MODES = ('copy', 'replace')
Selection = Callable[[str, nn.Parameter], Union[str, Tuple[str, str]]]


def default_parameter_selection(name: str, parameter: nn.Parameter) -> str:
    """Mask what is trained, freeze the rest."""
    return 'mask' if parameter.requires_grad else 'freeze'


def always_zero(ctx: Dict[str, Any]) -> float:
    """The default of ``k``."""
    return 0.0


class SubmaskedModel(nn.Module):
    """A module whose parameters count through masks of scores.

    Signature, values and gradients are those of the authors' class. Where it
    differs:

    - The module is masked in place and nothing is copied (the original holds
      each weight three times): its parameters are the base weights, so that a
      loaded checkpoint, ``.to`` and ``.half`` change what is computed.
    - A forward changes no parameter: optimizers may be built after it, two
      forwards may come before a backward, and tied weights stay tied.
    - Scores lie next to the weights and not in a dict of this module:
      ``model_shell.conv.weight_mask.scores`` in the state dict. Names cannot
      collide. :attr:`scores` finds them by name or by the original's key, and
      checkpoints of the original load.
    - A tensor with nothing on counts as 0 (there NaN), a score of NaN is off,
      and a threshold below 0 is a threshold (there all is on).
    - ``'flip'`` with ``scale=True``, the root of a negative mean, is an error.

    Args:
        model (nn.Module): Any module; masked in place.
        parameter_selection (Callable): Of name and parameter: ``'mask'``,
            ``'train'`` or ``'freeze'``, or a pair of that and a slot, a label
            that :meth:`analyze` groups by. Defaults to masking what is
            trained.
        scale (bool): Multiply by sqrt(N / n) within the graph. Defaults to
            True.
        scores_init (Callable): Of the scores of one parameter and its base
            weight; writes the scores. Defaults to
            :func:`default_scores_init`.
        test_input (Any): Kept, as in the original; nothing uses it.
        prune_criterion (str): ``'threshold'``, ``'topk'`` or ``'flip'``.
            Defaults to ``'threshold'``.
        k (Callable): Of the context: threshold, or share kept. Defaults to
            0 always.
        shell_mode (str): ``'copy'`` or ``'replace'``: how the original puts
            masked weights into the module. Both give the same values, and
            both are the same here. Defaults to ``'copy'``.

    Raises:
        ValueError: If ``shell_mode`` (the original then runs unmasked without
            a word), ``prune_criterion`` or a mode is unknown, if
            ``'flip'`` is to be scaled, or if a k is none of the criterion.
        TypeError: If a parameter cannot be masked, such as that of a
            ``ParameterList``, which other modules read.

    Examples:
        >>> model = SubmaskedModel(nn.Linear(4, 2), prune_criterion='topk',
        ...                        k=lambda ctx: ctx['keep'])
        >>> model(torch.ones(1, 4), ctx=dict(keep=0.5)).shape
        torch.Size([1, 2])
        >>> list(model.scores)
        ['weight', 'bias']
    """

    def __init__(
        self,
        model: nn.Module,
        parameter_selection: Selection = default_parameter_selection,
        scale: bool = True,
        scores_init: Callable = default_scores_init,
        test_input: Any = None,
        prune_criterion: str = 'threshold',
        k: Callable[[Dict[str, Any]], float] = always_zero,
        shell_mode: str = 'copy',
    ) -> None:
        super().__init__()
        self.shell_mode = check_choice('shell_mode', shell_mode, SHELL_MODES)
        self.parameter_selection = parameter_selection
        self.test_input = test_input
        self.k = k
        modes: Dict[int, str] = {}
        slots: Dict[str, str] = {}
        for name, parameter in model.named_parameters():
            mode, slot = _parse(name, parameter_selection(name, parameter))
            modes[id(parameter)] = mode
            if mode == 'mask':
                slots[name] = slot
        rules = [
            (partial(_chosen, modes, mode), mode)
            for mode in MODES
            if mode in modes.values()
        ]
        mask = partial(
            ScoreMask,
            init=torch.zeros_like,
            criterion=prune_criterion,
            scale=scale,
        )
        self.model_shell = apply_weight_masks(model, rules, mask)
        self._slots = slots
        with torch.no_grad():
            for item in named_masks(model):
                scores_init(item.mask.scores, item.parameter)

    @property
    def scores(self) -> Scores:
        """Name of the masked parameter -> its scores."""
        masks = self._masks().items()
        return Scores((name, mask.scores) for name, mask in masks)

    def forward(
        self, *args, ctx: Optional[Dict[str, Any]] = None, **kwargs
    ) -> Any:
        """Call the module with its masked weights.

        Args:
            *args: Of the module.
            ctx (dict, optional): What ``k`` is a function of. Defaults to
                None, an empty one.
            **kwargs: Of the module.
        """
        self._prune_k(ctx)
        return self.model_shell(*args, **kwargs)

    def get_masks(self, ctx: Optional[Dict[str, Any]] = None) -> List[Tensor]:
        """The masks, in the order of :attr:`scores`, with their graph.

        Args:
            ctx (dict, optional): See :meth:`forward`.

        Returns:
            list[Tensor]: 0 and 1, or -1 and +1 for ``'flip'``.
        """
        self._prune_k(ctx)
        masks = self._masks().values()
        return [score_mask(m.scores, m.criterion, m.setting) for m in masks]

    @torch.no_grad()
    def analyze(
        self, ctx: Optional[Dict[str, Any]] = None
    ) -> Dict[str, float]:
        """Statistics of all masks and scores, and per slot.

        Args:
            ctx (dict, optional): See :meth:`forward`.

        Returns:
            dict[str, float]: ``prune_k``, and of ``mask`` and ``score`` the
            ``mean_*`` and ``std_*`` (unbiased), ``max_score``, ``min_score``,
            ``total_on``, ``total_off``; with the slot behind a ``_`` for its
            masks alone. Empty if nothing is masked.
        """
        masks = self.get_masks(ctx)
        if not masks:
            return {}
        groups: Dict[str, List[Tuple[Tensor, Tensor]]] = {'': []}
        for mask, (name, scores) in zip(masks, self.scores.items()):
            pair = (mask.flatten(), scores.flatten())
            groups[''].append(pair)
            groups.setdefault(f'_{self._slots[name]}', []).append(pair)
        found = dict(prune_k=self._prune_k(ctx))
        for suffix, pairs in groups.items():
            mask, score = (torch.cat(parts) for parts in zip(*pairs))
            on = (mask > 0).sum()
            for key, value in dict(
                mean_mask=mask.mean(),
                std_mask=mask.std(),
                total_on=on,
                total_off=mask.numel() - on,
                mean_score=score.mean(),
                std_score=score.std(),
                max_score=score.max(),
                min_score=score.min(),
            ).items():
                found[key + suffix] = float(value)
        return found

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        translate_state(state_dict, prefix, self._masks())
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _prune_k(self, ctx: Optional[Dict[str, Any]]) -> float:
        k = self.k({} if ctx is None else ctx)
        for mask in self._masks().values():
            if mask.setting != k:
                mask.setting = k
        return k

    def _masks(self) -> Dict[str, ScoreMask]:
        return {item.name: item.mask for item in named_masks(self.model_shell)}


def _parse(name: str, chosen: Any) -> Tuple[str, str]:
    pair = (chosen, 'default') if isinstance(chosen, str) else chosen
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or pair[0] not in MODES
    ):
        raise ValueError(
            f'parameter_selection must give one of {MODES}, or a pair of that '
            f'and a slot, got {chosen!r} for {name}'
        )
    return pair[0], str(pair[1])


def _chosen(modes: Dict[int, str], mode: str, name: str, parameter) -> bool:
    return modes.get(id(parameter)) == mode

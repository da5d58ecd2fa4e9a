# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Where in the stages of Continuous Sparsification an epoch lies."""

from dataclasses import dataclass
from typing import NamedTuple

from mask_plugins.utils.checks import check_int, check_number


class Position(NamedTuple):
    """Where an epoch lies.

    Args:
        stage (int): Rounds from 0; the ticket phase is stage ``rounds``.
        epoch (int): Epoch within the stage, from 0.
        ticket (bool): Whether this is the ticket phase.
    """

    stage: int
    epoch: int
    ticket: bool


@dataclass(frozen=True)
class SparsificationPlan:
    r"""Rounds of search, then a ticket phase; the temperature of each epoch.

    Within a round the inverse temperature is
    :math:`\beta = T^{\,e / (E - 1)}` (Savarese et al., arXiv:1912.04427):
    1 in the first epoch, T in the last. A closed form, so that a
    resumed run needs no state.

    Args:
        rounds (int): R. Defaults to 3.
        epochs_per_round (int): E. Defaults to 85.
        ticket_epochs (int): Epochs of the ticket phase. Defaults to 85.
        final_temperature (float): T, at least 1. Defaults to 200.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If ``rounds`` or ``epochs_per_round`` is below 1,
            ``ticket_epochs`` below 0, or ``final_temperature`` below 1.

    Examples:
        >>> plan = SparsificationPlan(rounds=2, epochs_per_round=3)
        >>> plan.position(4)
        Position(stage=1, epoch=1, ticket=False)
        >>> [round(plan.temperature(step, 3), 1) for step in range(3)]
        [1.0, 14.1, 200.0]
    """

    rounds: int = 3
    epochs_per_round: int = 85
    ticket_epochs: int = 85
    final_temperature: float = 200.0

    def __post_init__(self) -> None:
        check_int('rounds', self.rounds, low=1)
        check_int('epochs_per_round', self.epochs_per_round, low=1)
        check_int('ticket_epochs', self.ticket_epochs, low=0)
        check_number('final_temperature', self.final_temperature, low=1)

    @property
    def max_epochs(self) -> int:
        """Epochs of the whole run."""
        return self.rounds * self.epochs_per_round + self.ticket_epochs

    def position(self, epoch: int) -> Position:
        """Where a global epoch, from 0, lies."""
        stage, within = divmod(epoch, self.epochs_per_round)
        if stage < self.rounds:
            return Position(stage, within, False)
        within = epoch - self.rounds * self.epochs_per_round
        return Position(self.rounds, within, True)

    def temperature(self, step: int, steps: int) -> float:
        """The temperature at step ``step`` of ``steps`` in a round.

        Args:
            step (int): Epoch or iteration within the round, from 0.
            steps (int): Epochs or iterations of a round.

        Returns:
            float: The final one if there is only one step.
        """
        if steps <= 1:
            return self.final_temperature
        return self.final_temperature ** (step / (steps - 1))

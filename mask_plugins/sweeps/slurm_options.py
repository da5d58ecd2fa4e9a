# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How a sweep is submitted: what goes into the head of the sbatch script."""

from typing import Any, List, NamedTuple

from mask_plugins.engine.launching.wall_time import parse_time
from mask_plugins.utils.checks import check_bool, check_int, check_type

_AT_LEAST_ONE = ('nodes', 'tasks_per_node', 'cpus_per_task', 'pack')


class SlurmOptions(NamedTuple):
    """What sbatch is told; '' and 0 leave it to the cluster.

    Args:
        throttle (int): Tasks that run at the same time at most.
        partition (str): Partition.
        account (str): Account.
        qos (str): Quality of service.
        time (str): Time limit of a task.
        gres (str): Such as 'gpu:1'.
        constraint (str): Features of the node.
        mem (str): Memory per node.
        nodes (int): Nodes per run.
        tasks_per_node (int): Processes per node; the number of GPUs.
        cpus_per_task (int): Cores per process.
        lead (int): Seconds before the time limit at which a run is told to
            stop and save. SLURM may send the signal up to a minute earlier.
        requeue (bool): Whether a stopped run is put back into the queue.
        max_requeues (int): How often at most.
        pack (int): Runs per array task, one after the other.
        prologue (str): Lines of bash: modules, environment.
        stage (str): Data to copy to the local disk of a node.

    Examples:
        >>> options = SlurmOptions.parse(dict(gres='gpu:1', lead=0))
        >>> options.directives()[:2]
        ['#SBATCH --gres=gpu:1', '#SBATCH --nodes=1']
    """

    throttle: int = 0
    partition: str = ''
    account: str = ''
    qos: str = ''
    time: str = ''
    gres: str = ''
    constraint: str = ''
    mem: str = ''
    nodes: int = 1
    tasks_per_node: int = 1
    cpus_per_task: int = 1
    lead: int = 120
    requeue: bool = True
    max_requeues: int = 50
    pack: int = 1
    prologue: str = ''
    stage: str = ''

    @classmethod
    def parse(cls, values: Any) -> 'SlurmOptions':
        """Check values of a manifest or a command line.

        Raises:
            ValueError: If one is unknown, out of its range or several lines,
                or the time limit is too short for ``lead``.
            TypeError: If one is of another type.
        """
        if not isinstance(values, dict) or set(values) - set(cls._fields):
            raise ValueError(
                f'slurm must have some of {cls._fields}, got {values!r}'
            )
        for name, value in values.items():
            default = cls._field_defaults[name]
            if isinstance(default, bool):
                check_bool(name, value)
            elif isinstance(default, int):
                check_int(name, value, int(name in _AT_LEAST_ONE))
            else:
                check_type(name, value, str, 'text')
                if name != 'prologue' and '\n' in value:
                    raise ValueError(f'{name} must be one line, got {value!r}')
        options = cls(**values)
        limit = parse_time(options.time) if options.time else float('inf')
        if options.lead and options.lead + 60 > limit:
            raise ValueError(
                f'lead={options.lead} s and time={options.time!r}: SLURM may '
                'send the signal a minute early, and a run would be stopped '
                'as soon as it starts. Make time longer or lead shorter'
            )
        return options

    def directives(self) -> List[str]:
        """The lines ``#SBATCH --...`` that these options ask for."""
        lines = [
            f'--{name}={getattr(self, name)}'
            for name in (
                'partition', 'account', 'qos', 'time', 'gres', 'constraint',
                'mem',
            )
            if getattr(self, name)
        ]  # fmt: skip
        lines += [
            f'--nodes={self.nodes}',
            f'--ntasks-per-node={self.tasks_per_node}',
            f'--cpus-per-task={self.cpus_per_task}',
        ]
        if self.lead:
            lines.append(f'--signal=USR1@{self.lead}')
        lines.append('--requeue' if self.requeue else '--no-requeue')
        return [f'#SBATCH {line}' for line in lines]

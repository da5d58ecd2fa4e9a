# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How does the cost of looking at a sweep grow with its runs?"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Dict

from mask_plugins.analysis.runs.run_comparison import (
    ACCURACY,
    group_runs,
    read_run,
    summarize,
)
from mask_plugins.benchmarks.scaling import (
    BASELINE,
    OURS,
    ScalingBenchmark,
    train_lines,
)
from mask_plugins.engine.checkpoint.run_state import DONE, FAILED, STATE_FILE
from mask_plugins.utils.checks import check_int
from mask_plugins.utils.timing import Case

from .manifest import LOGS, Manifest, SweepRun
from .run_status import sweep_status
from .slurm_options import SlurmOptions


@dataclass
class SweepScalingBenchmark(ScalingBenchmark):
    """The parts of :class:`ScalingBenchmark`, and those of sweeps of n runs.

    ``status`` is of runs that all failed, next to reading their files;
    ``collect`` is of runs that are done, 100 seeds of each setting, next to
    parsing all of their logs line by line.

    Args:
        lines (int): Of the log of a run that is collected. Defaults to 1000.
        **more: See :class:`ScalingBenchmark`.

    Examples:
        >>> SweepScalingBenchmark().parts
        ('knn', 'retrieval', 'cut', 'status', 'collect')
    """

    lines: int = 1000

    PARTS: ClassVar[Dict[str, str]] = dict(
        ScalingBenchmark.PARTS, status='status_cases', collect='collect_cases'
    )
    SECONDS: ClassVar[Dict[str, Any]] = dict(
        status=(10000, 3.0), collect=(10000, 30.0)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int('lines', self.lines, 1)

    def status_cases(self, size: int, folder: Path) -> Dict[str, Case]:
        """The state of each run, and why it failed."""
        made = make_sweep(folder, size, 3, FAILED)
        files = [path for path in folder.rglob('*') if path.is_file()]
        return {
            OURS: Case(lambda: sweep_status(made)),
            BASELINE: Case(lambda: [path.read_bytes() for path in files]),
        }

    def collect_cases(self, size: int, folder: Path) -> Dict[str, Case]:
        """Mean and spread over the runs of each setting."""
        made = make_sweep(folder, size, self.lines, DONE)
        folders = [made.work_dir(run) for run in made.runs]

        def collect() -> None:
            runs = [read_run(one) for one in folders]
            summarize(group_runs(runs), [ACCURACY])

        def parse() -> None:
            for one in folders:
                with open(f'{one}/train_log.json', 'rb') as file:
                    for line in file:
                        json.loads(line)

        return {OURS: Case(collect), BASELINE: Case(parse)}


def make_sweep(folder: Path, runs: int, lines: int, state: str) -> Manifest:
    """A sweep whose runs have logs, as if they had been trained.

    Args:
        folder (Path): Of the sweep.
        runs (int): How many, 100 seeds of each setting.
        lines (int): Of each train log.
        state (str): What each says of itself.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = make_sweep(Path(folder), 2, 1, FAILED)
        ...     print([one.detail for one in sweep_status(made)])
        ['ValueError: 0', 'ValueError: 1']
    """
    train = ''.join(train_lines(lines))
    val = '{"epoch": 0, "iteration": 1, "acc1": 90.0, "time": 1.0}\n'
    found = []
    (folder / LOGS).mkdir()
    for index in range(runs):
        options = {'lr': index // 100, 'randomness.seed': index % 100}
        run = SweepRun(index, f'run-{index}', 'c.py', options)
        found.append(run)
        at = folder / run.work_dir
        at.mkdir(parents=True)
        (at / 'train_log.json').write_text(train)
        (at / 'val_log.json').write_text(val)
        (at / STATE_FILE).write_text(json.dumps(dict(state=state)))
        (at / 'c.py').write_text(
            f'lr = {index // 100}\nrandomness = dict(seed={index % 100})\n'
            f"work_dir = '{at.name}'\n"
        )
        log = folder / LOGS / f'local_{index}.out'
        log.write_text(f'line\nValueError: {index}\n')
    return Manifest(str(folder), 'scaling', found, SlurmOptions())

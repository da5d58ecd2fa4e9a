# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Steps that are done once for each state of their inputs."""

import hashlib
import json
import os.path as osp
from typing import Any, Callable, Dict, List, NamedTuple

from mask_plugins.utils.files import read_json, write_json

MARKER = 'done.json'


class Step(NamedTuple):
    """One step of a chain.

    Args:
        name (str): Begins the name of its folder.
        settings (dict): Plain values that its result depends on.
        run (Callable): Called with the folder of each step so far, by name;
            fills its own, and returns the files that count, relative to it.

    Examples:
        >>> Step('cluster', dict(clusters=5), lambda folders: []).name
        'cluster'
    """

    name: str
    settings: Dict[str, Any]
    run: Callable[[Dict[str, str]], List[str]]


class Plan:
    """A chain of steps, each in a folder that its inputs name.

    The key of a step is a hash of its settings and of the files that the
    steps before it made; ``<name>-<key>`` is its folder, and ``done.json`` in
    it, written last, says that it is done and what the files hash to. So a
    killed run continues, and with other settings what depends on them is
    done again, next to what was there. Nothing is deleted.

    Args:
        folder (str): Where the folders of the steps are.
        steps (list[Step]): In order.

    Raises:
        ValueError: While running, if a file of a step that is done was
            changed since.

    Examples:
        >>> import tempfile
        >>> def write(folders):
        ...     write_json(folders['one'] + '/x.json', [1])
        ...     return ['x.json']
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plan = Plan(folder, [Step('one', {}, write)])
        ...     [plan.run(), plan.run()]
        [['one'], []]
    """

    def __init__(self, folder: str, steps: List[Step]) -> None:
        self.folder = folder
        self.steps = steps

    def run(self, last: str = '', tell: Callable[[str], Any] = str) -> list:
        """Do what is not done.

        Args:
            last (str): Name of the step to stop after. Defaults to '', all.
            tell (Callable): Gets a line for each step.

        Returns:
            list[str]: Names of the steps that were done now.
        """
        done, folders, inputs = [], {}, ''
        for step in self.steps:
            folder = self._folder(step, inputs)
            folders[step.name] = folder
            if not osp.isfile(osp.join(folder, MARKER)):
                tell(f'{step.name}: {folder}')
                files = step.run(folders)
                hashes = {name: _hash(folder, name) for name in files}
                write_json(osp.join(folder, MARKER), hashes)
                done.append(step.name)
            else:
                tell(f'{step.name}: done, {folder}')
            inputs = self._check(folder)
            if step.name == last:
                break
        return done

    def state(self) -> List[tuple]:
        """Name, folder and whether it is done, as far as can be told.

        Returns:
            list[tuple]: The folder of a step after one that is not done is
            not known yet: ''.
        """
        rows, inputs, known = [], '', True
        for step in self.steps:
            folder = self._folder(step, inputs) if known else ''
            known = known and osp.isfile(osp.join(folder, MARKER))
            inputs = self._check(folder) if known else ''
            rows.append((step.name, folder, known))
        return rows

    def _folder(self, step: Step, inputs: str) -> str:
        text = json.dumps([step.settings, inputs], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:8]
        return osp.join(self.folder, f'{step.name}-{key}')

    @staticmethod
    def _check(folder: str) -> str:
        """The hashes of a step that is done."""
        hashes = read_json(osp.join(folder, MARKER))
        for name, expected in hashes.items():
            path = osp.join(folder, name)
            if not osp.isfile(path) or _hash(folder, name) != expected:
                raise ValueError(
                    f'{path} is not what its step made: remove the folder '
                    f'{folder} to have it made again'
                )
        return json.dumps(hashes, sort_keys=True)


def _hash(folder: str, name: str) -> str:
    digest = hashlib.sha256()
    with open(osp.join(folder, name), 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

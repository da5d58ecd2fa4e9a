# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a work_dir knows of its run in a tracker."""

import os
import re
import uuid
from typing import Any, Collection, Dict

from mask_plugins.utils.checks import PathLike, check_bool, check_int
from mask_plugins.utils.files import read_json, write_json

_FORMAT = 1
# A record with a thousand names has about 50 kB.
_LARGEST = 1 << 20
_ID = re.compile(r'[A-Za-z0-9][A-Za-z0-9_-]{0,63}')
_FIELDS = ('format', 'id', 'config', 'ended', 'rows', 'steps')


class TrackerRecord:
    """The id of a run and the last step of each value that was logged.

    It is a small JSON file, written before the first value is logged and
    after each time that values are.

    Args:
        path (str | PathLike): The file.
        config (str): A digest of the config that started the run.
        run_id (str, optional): By default a new, random one.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     record = TrackerRecord(f'{folder}/tracker_x.json', 'digest')
        ...     record.note(['loss'], 20)
        ...     again = TrackerRecord.read(record.path)
        >>> again.id == record.id, again.rows
        (True, 1)
        >>> again.is_new('loss', 20), again.is_new('loss', 30)
        (False, True)
    """

    def __init__(self, path: PathLike, config: str, run_id: str = '') -> None:
        self.path = os.fspath(path)
        self.config = config
        self.id = run_id or uuid.uuid4().hex[:16]
        self.ended = False
        self.rows = 0
        self.steps: Dict[str, int] = {}

    @classmethod
    def read(cls, path: PathLike) -> 'TrackerRecord':
        """Read and check a record.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is not one that :meth:`write` wrote.
        """
        path = os.fspath(path)
        if os.path.isfile(path) and os.path.getsize(path) > _LARGEST:
            raise ValueError(f'{path} is larger than {_LARGEST} bytes')
        content = read_json(path)
        try:
            return cls._parse(path, content)
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: {error}') from error

    @classmethod
    def _parse(cls, path: str, content: Any) -> 'TrackerRecord':
        if not isinstance(content, dict) or set(content) != set(_FIELDS):
            raise ValueError(f'it must have the keys {_FIELDS}')
        check_int('format', content['format'], _FORMAT, _FORMAT)
        for key in ('id', 'config'):
            text = content[key]
            if not isinstance(text, str) or not _ID.fullmatch(text):
                raise ValueError(
                    f'{key} must be up to 64 letters, digits, _ and -, got '
                    f'{text!r}'
                )
        if not isinstance(content['steps'], dict):
            raise ValueError('steps must be names and ints')
        record = cls(path, content['config'], content['id'])
        record.ended = check_bool('ended', content['ended'])
        record.rows = check_int('rows', content['rows'], 0)
        for name, step in content['steps'].items():
            record.steps[name] = check_int(f'steps[{name!r}]', step, 0)
        return record

    def write(self) -> None:
        """Write it.

        Raises:
            OSError: If that fails.
        """
        values = {key: getattr(self, key) for key in _FIELDS[1:]}
        write_json(self.path, dict(format=_FORMAT, **values))

    def is_new(self, name: str, step: int) -> bool:
        """Whether a value of this step has not been logged yet."""
        return step > self.steps.get(name, -1)

    def note(self, names: Collection[str], step: int) -> None:
        """Note, on the disk, that values of a step were logged.

        Raises:
            OSError: If it cannot be written.
        """
        self.steps.update(dict.fromkeys(names, step))
        self.rows += 1
        self.write()

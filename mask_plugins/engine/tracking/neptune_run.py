# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Neptune."""

import os

from .tracked_run import TrackedRun


class NeptuneRun(TrackedRun):
    """One run of Neptune, by a ``custom_run_id`` that is ours."""

    def _open(self, known: bool) -> bool:
        options = dict(self.backend.get('init_kwargs') or {'mode': 'offline'})
        options.setdefault('name', self.name)
        # What is not sent yet: in the work_dir, as with the others.
        folder = os.path.join(self._save_dir, '.neptune')
        os.environ.setdefault('NEPTUNE_DATA_DIRECTORY', folder)
        options['custom_run_id'] = self.record.id
        self._build(self._save_dir, init_kwargs=options)
        if self.group:
            self.inner.experiment['sys/group_tags'].add([self.group])
        return known

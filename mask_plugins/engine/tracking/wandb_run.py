# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Weights & Biases."""

from typing import Any, Dict

from mask_plugins.engine.checkpoint.run_state import EXIT_PREEMPTED

from .tracked_run import TrackedRun


class WandbRun(TrackedRun):
    """One run of wandb, by an id that is ours and ``resume='allow'``.

    Its step counts the calls that logged something, as without us. A run
    that is stopped ends as 'preempting'.
    """

    def _open(self, known: bool) -> bool:
        options = dict(self.backend.get('init_kwargs') or {})
        options.setdefault('name', self.name)
        if self.group:
            options.setdefault('group', self.group)
        # The config of a resumed run may differ, in `resume` at least.
        options.update(
            id=self.record.id, resume='allow', allow_val_change=True
        )
        self._build(self._save_dir, init_kwargs=options)
        self._wandb = self.inner.experiment
        return known

    def _log(self, scalars: Dict[str, Any], step: int) -> None:
        self._wandb.log(scalars, step=self.record.rows)

    def add_image(
        self, name: str, image: Any, step: int = 0, **kwargs: Any
    ) -> None:
        """Log an image, if it is new."""
        self.add_scalars({name: self._wandb.Image(image)}, step)

    def close(self) -> None:
        """End the run for now, or for good."""
        if self.inner is None:
            return
        self.inner = None
        if self.record.ended:
            self._wandb.finish()
        elif self._wandb.run is not None:
            self._wandb.run.mark_preempting()
            self._wandb.finish(exit_code=EXIT_PREEMPTED)

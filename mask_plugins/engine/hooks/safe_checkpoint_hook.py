# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Checkpoints that load safely, survive a kill, and resume exactly."""

import os.path as osp
import uuid
from typing import Any, Dict, Optional

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner

from mask_plugins.engine.loops import ResumableEpochBasedTrainLoop
from mask_plugins.registry import HOOKS
from mask_plugins.utils.files import remove_leftovers

from ..checkpoint import own_checkpoints, resume, run_state
from ..checkpoint.checkpoint_guard import drop_config, guard_loading
from ..checkpoint.dropped_masks import warn_of_dropped_masks
from ..checkpoint.histories import bound_histories
from ..checkpoint.plain_checkpoint import equal, from_plain, to_plain
from ..checkpoint.resumed_length import fit_length
from ..checkpoint.shared_buffers import restore_buffers
from .atomic_checkpoint_hook import AtomicCheckpointHook, is_score, slug

# In a checkpoint's meta: batches of the epoch trained, and its length.
_POSITION = 'epoch_position'


@HOOKS.register_module()
class SafeCheckpointHook(AtomicCheckpointHook):
    """mmengine's CheckpointHook, made safe to load, to kill and to resume.

    - What it writes loads with ``torch.load(weights_only=True)``, and a
      resumed run has its log history back, value for value. Objects that
      cannot be made plain are left out with a warning that names them.
    - Files are written under another name and renamed, ``last_checkpoint``
      too; old ones (``max_keep_ckpts``, the previous best) go only when the
      new one is in place, and only if this run wrote them. Storage that is
      not local is written plainly, with one warning.
    - Auto-resume checks the newest checkpoint, and takes the one before it
      if that is damaged.
    - A validation that was due when the run was killed is made up on resume,
      the best checkpoint included.
    - On several processes, buffers such as BatchNorm's statistics are made
      equal before every save, validation and test.
    - A model with NaN or inf in its parameters is not saved.
    - On a full disk the checkpoint before stays and training continues; it is
      an error only if the last checkpoint of the run could not be written.
    - The next start in the folder of a run that ``PreemptionHook`` stopped
      resumes it, without ``resume=True``.

    Args:
        *args: See :class:`mmengine.hooks.CheckpointHook`; every option of it
            works.
        keep (str): Which checkpoints stay, in place of ``max_keep_ckpts``:
            'newest:2,best,every:10' keeps the newest two, the best
            (``save_best`` is 'auto' then, if it is not set) and every tenth.
            Defaults to '', all.
        start_from (str, optional): With ``resume=True``, the checkpoint
            whose weights the run begins with where there is nothing to
            resume from. Defaults to None.
        **kwargs: The same as ``args``.

    Raises:
        ValueError: If ``keep`` cannot be read, ``max_keep_ckpts`` is set
            too, or ``filename_tmpl`` is not a name with one ``{}``.

    Examples:
        >>> default_hooks = dict(
        ...     checkpoint=dict(
        ...         type='mask_plugins.SafeCheckpointHook',
        ...         interval=1,
        ...         keep='newest:2,best',
        ...     )
        ... )
        >>> hook = HOOKS.build(default_hooks['checkpoint'])
        >>> hook.save_best
        ['auto']
    """

    def __init__(
        self, *args, start_from: Optional[str] = None, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        guard_loading()
        self.start_from = start_from
        self._configured_out_dir = self.out_dir
        self._run = ''
        # What is resumed from, and where a complete run ended.
        self._resumed_from = ''
        self._done_at: Optional[int] = None
        self._loaded_buffers: Any = None

    # ---------------------------------------------------------------- start
    def before_run(self, runner: Runner) -> None:
        """Decide on what to load; rank 0 looks, all ranks do the same."""
        if runner._has_loaded:
            return
        decision = [None, None, None, None]
        if is_main_process():
            state = run_state.read_state(runner.work_dir) or {}
            if state.get('state') == run_state.DONE:
                decision[2] = state.get('iteration')
            try:
                decision[:2] = self._choose(runner)
            except Exception as error:
                decision[3] = error
        broadcast_object_list(decision)
        runner._resume, runner._load_from, self._done_at, error = decision
        if error is not None:
            raise error
        self._resumed_from = runner._load_from if runner._resume else ''

    def _choose(self, runner: Runner) -> list:
        """``_resume`` and ``_load_from``."""
        resumes, load_from = runner._resume, runner._load_from
        if run_state.is_resumable(runner.work_dir):
            what = 'a preempted run is resumed: to start over, remove its'
            runner.logger.info(f'{what} {runner.work_dir}/run_state.json')
            resumes, load_from = True, None
        keys = resume.RUN_KEYS
        if self.save_optimizer:
            keys += ('optimizer',)
        if self.save_param_scheduler and runner.param_schedulers:
            keys += ('param_schedulers',)
        if load_from is not None:
            keys = keys if resumes else ()
            resume.check_named_checkpoint(str(load_from), keys)
            return [resumes, str(load_from)]
        if not resumes:
            return [False, None]
        folder, name = runner.work_dir, self.filename_tmpl
        folders = resume.checkpoint_folders(folder, self._configured_out_dir)
        choice = resume.choose_checkpoint(folder, folders, name, keys)
        if choice.warning:
            runner.logger.warning(f'{type(self).__name__}: {choice.warning}.')
        if choice.resume:
            return [True, choice.path]
        if self.start_from is not None:
            resume.check_named_checkpoint(str(self.start_from))
        return [False, self.start_from]

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder, then make up an owed validation."""
        # mmengine's before_train turns out_dir into the run's own folder.
        self.out_dir = self._configured_out_dir
        self._use_atomic_backend(runner)
        info = runner.message_hub.runtime_info
        claimed = {
            key: info.pop(key)
            for key in list(info)
            if str(key).startswith(('best_ckpt', 'keep_ckpt_ids', 'last_ckpt'))
        }
        super().before_train(runner)
        self._take_over(runner, claimed)
        again = runner.iter > 0 and run_state.is_resumable(runner.work_dir)
        run_state.note_state(runner, run_state.RUNNING, again)
        if runner.iter == 0:
            return
        self.saved_iter = runner.iter
        buffers, self._loaded_buffers = self._loaded_buffers, None
        if buffers and not restore_buffers(runner, buffers):
            what = 'saved inside an epoch by another number of processes'
            runner.logger.warning(f'{what}: all take the buffers of rank 0')
        if runner.iter >= runner.max_iters:
            what = f'is complete ({runner.iter} iterations)'
            runner.logger.info(f'The run in {runner.work_dir} {what}')
        if resume.inside_epoch(runner):
            place = f'epoch {runner.epoch + 1} (iteration {runner.iter})'
            runner.logger.warning(
                f'saved inside {place}, which starts again: use '
                "type='mask_plugins.ResumableEpochBasedTrainLoop'."
            )
        if self.owes_validation(runner):
            runner.logger.info('The run ended before its validation, made now')
            runner.val_loop.run()

    def owes_validation(self, runner: Runner) -> bool:
        """Whether a validation is due before training continues."""
        return self._done_at != runner.iter and resume.owes_validation(runner)

    def _take_over(self, runner: Runner, claimed: Dict[str, Any]) -> None:
        """Learn which files are this run's, and finish what a kill stopped.

        Args:
            runner (Runner): The runner.
            claimed (dict): What the message hub of the loaded checkpoint says
                of files. It is believed only where it names one of them.
        """
        self._run = self._run or uuid.uuid4().hex
        known: list = [[], '', {}]
        if is_main_process():
            for folder in {runner.work_dir, str(self.out_dir)}:
                for path in remove_leftovers(folder):
                    runner.logger.info(f'removed {path}, left by a killed run')
            if runner.iter:
                known = self._known(runner, claimed)
        broadcast_object_list(known)
        self._steps, self._out_of_turn, bests = known
        hub = runner.message_hub
        if self._keep and self._steps:
            hub.update_info('keep_ckpt_ids', self._steps)
        if runner.iter and self._resumed_from:
            name = osp.basename(self._resumed_from)
            if self._path(name) == self._resumed_from:
                self.last_ckpt = self._resumed_from
                hub.update_info('last_ckpt', self.last_ckpt)
        for key in self.key_indicators if self.save_best else ():
            name = bests.get(slug(key)) or bests.get('auto')
            if name:
                self._set_best(key, name)
                hub.update_info(self._info('best_ckpt', key), self._path(name))
        for key, score in list(hub.runtime_info.items()):
            if str(key).startswith('best_score') and not is_score(score):
                hub.runtime_info.pop(key)

    def _known(self, runner: Runner, claimed: Dict[str, Any]) -> list:
        """Steps, the checkpoint out of turn and the bests of this run."""
        now = runner.epoch if self.by_epoch else runner.iter
        resumed = osp.basename(self._resumed_from)
        names = {osp.basename(x) for x in claimed.values() if type(x) is str}
        if isinstance(self.file_backend, LocalBackend):
            own = own_checkpoints.own_checkpoints(
                self.out_dir, self.filename_tmpl, self._run
            )
        else:  # what cannot be looked at is known by its name only
            ids = claimed.get('keep_ckpt_ids')
            ids = ids if isinstance(ids, (list, tuple)) else []
            said = {self._name(i) for i in ids if type(i) is int} | names
            parse = own_checkpoints.own_checkpoint
            found = [parse(name, self.filename_tmpl) for name in said]
            own = [checkpoint for checkpoint in found if checkpoint]
        steps, out_of_turn, bests, outdated = own_checkpoints.sort_out(
            own, now, resumed, names
        )
        superfluous = self._keep.outdated(steps) if self._keep else []
        outdated += [self._name(step) for step in superfluous]
        self._remove(runner, [name for name in outdated if name != resumed])
        if self.save_best == ['auto']:  # whatever the metric was
            bests = dict(zip(['auto'], bests.values()))
        return [sorted({*steps} - {*superfluous}), out_of_turn, bests]

    # -------------------------------------------------------- save and load
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn everything plain; hooks before this one have added theirs."""
        loop, meta = runner.train_loop, checkpoint['meta']
        mark = meta.get(own_checkpoints.MARK, {})
        meta[own_checkpoints.MARK] = {**mark, 'run': self._run}
        if isinstance(loop, ResumableEpochBasedTrainLoop):
            done = loop.position(meta['epoch'], meta['iter'])
            meta[_POSITION] = [done, len(loop.dataloader)]
        for path in to_plain(checkpoint):
            what = 'does not load with weights_only=True and is left out'
            self._warn(runner, f'{path} {what}')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn it back, before the message hub reads it."""
        drop_config(checkpoint)
        from_plain(checkpoint)
        warn_of_dropped_masks(runner, checkpoint)
        if not runner._resume:
            return
        mark = own_checkpoints.read_mark(checkpoint)
        self._loaded_buffers = mark.get('buffers')
        self._run = mark['run'] if isinstance(mark.get('run'), str) else ''
        fit_length(runner, checkpoint)
        meta = checkpoint.get('meta', {})
        if isinstance(runner.train_loop, ResumableEpochBasedTrainLoop):
            runner.train_loop.resume_at(meta.get(_POSITION))
        # mmengine compares pickles, which differ for equal objects.
        if 'dataset_meta' in meta:
            live = getattr(runner.train_dataloader.dataset, 'metainfo', None)
            if equal(live, meta['dataset_meta']):
                meta['dataset_meta'] = live

    # ------------------------------------------------------------- training
    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Bound the log histories, which mmengine lets grow to 1e6 values."""
        bound_histories(runner)

    def after_train(self, runner: Runner) -> None:
        """Publish, and mark the run as done."""
        super().after_train(runner)
        run_state.note_state(runner, run_state.DONE, False)

    # ----------------------------------------------------------- validation
    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Note that this validation was made, then save the best."""
        if not hasattr(self, 'file_backend'):
            return  # `runner.val()`: no training, nothing to save
        runner.message_hub.update_info(resume.LAST_VALIDATED, runner.iter)
        super().after_val_epoch(runner, metrics or {})

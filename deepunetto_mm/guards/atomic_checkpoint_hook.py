"""Checkpoints that survive a kill at any time."""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional, Union

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from deepunetto_mm.registry import HOOKS
from deepunetto_mm.utils.files import whole_file

_INCOMPLETE = '.incomplete'


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, with the same arguments, safe against kills and full disks.

    mmengine deletes the oldest checkpoint, writes the new one to its final path, and then writes ``last_checkpoint``. A
    kill in between with ``max_keep_ckpts=1`` loses everything. This hook writes a temporary file, syncs it to the disk,
    and renames it; ``last_checkpoint`` follows in the same way. Outdated checkpoints, including the previous best one,
    are deleted last. So for a short time the disk holds one checkpoint more than configured.

    A checkpoint lists the files that it makes obsolete. If the run was killed before deleting them, they are deleted
    when it is resumed; only files in the checkpoint folder are ever deleted.

    Checkpoints of DeepSpeed and ColossalAI, which have their own writers, are not atomic. Remote storage has no
    half-written objects; there only the order matters.

    Raises:
        OSError: If a checkpoint cannot be written; earlier ones are unchanged.
    """

    file_backend: Any

    def before_train(self, runner: Runner) -> None:
        """Find the folder as mmengine does, and delete leftovers of a killed run."""
        super().before_train(runner)
        self.file_backend = _DeferringBackend(self.file_backend)
        if is_main_process():
            is_local = isinstance(self.file_backend.backend, LocalBackend)
            for folder in {runner.work_dir, *([self.out_dir] if is_local else [])}:
                for path in Path(folder).glob(f'*{_INCOMPLETE}'):
                    path.unlink(missing_ok=True)
        if 'outdated_ckpts' in runner.message_hub.runtime_info:
            for name in runner.message_hub.get_info('outdated_ckpts'):
                self.file_backend.remove(self.file_backend.join_path(self.out_dir, name))
            self._delete_outdated(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if self.max_keep_ckpts > 0 and (not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step):
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                oldest = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
                self.file_backend.remove(self.file_backend.join_path(self.out_dir, oldest))
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.message_hub.update_info('outdated_ckpts', [Path(path).name for path in self.file_backend.outdated])
        with _atomic_writes():
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
        if is_main_process():
            write_atomically(Path(runner.work_dir) / 'last_checkpoint', str(self.last_ckpt).encode())
        self._delete_outdated(runner)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        with _atomic_writes():
            super()._save_best_checkpoint(runner, metrics)
        self._delete_outdated(runner)  # if no regular checkpoint was saved before the best one

    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        with _atomic_writes():
            super()._publish_model(runner, ckpt_path)

    def _delete_outdated(self, runner: Runner) -> None:
        # After resuming, a new best checkpoint may have the same name as the one that it replaces.
        kept = {
            self.last_ckpt,
            getattr(self, 'best_ckpt_path', None),
            *getattr(self, 'best_ckpt_path_dict', {}).values(),
        }
        if is_main_process():
            self.file_backend.delete_outdated(self.out_dir, kept)
        self.file_backend.outdated.clear()
        runner.message_hub.update_info('outdated_ckpts', [])


class _DeferringBackend:
    """A storage backend that collects deletions until ``delete_outdated`` is called."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.outdated: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        """Mark a file for deletion, or the folder that is a checkpoint of DeepSpeed."""
        self.outdated.append(path)

    rmtree = remove

    def delete_outdated(self, folder: str, kept: set[Optional[str]]) -> None:
        """Delete the marked paths that are in ``folder`` and not in ``kept``."""
        for path in self.outdated:
            # A checkpoint from elsewhere could list other files, or the parent folder as '..'.
            if path in kept or os.path.dirname(os.path.abspath(path)) != os.path.abspath(folder):
                continue
            if self.backend.isfile(path):
                self.backend.remove(path)
            elif self.backend.isdir(path):
                self.backend.rmtree(path)


def write_atomically(path: Union[str, Path], data: bytes) -> None:
    """Write a file so that ``path`` is always either unchanged or complete, even after a power failure.

    Raises:
        OSError: If it cannot be written, for example on a full disk; the partial file is removed.
    """
    path = Path(path)
    try:
        with whole_file(path, path.name + _INCOMPLETE, durable=True) as incomplete:
            incomplete.write_bytes(data)
    except OSError as error:
        raise OSError(error.errno, f'{error.strerror}; earlier files are intact', str(path)) from error


@contextmanager
def _atomic_writes() -> Iterator[None]:
    """Make mmengine write local files atomically.

    All its ways to save (Runner, FlexibleRunner, publishing) call this method, and not all accept a backend.
    """
    plain = LocalBackend.put
    LocalBackend.put = lambda backend, obj, filepath: write_atomically(filepath, obj)
    try:
        yield
    finally:
        LocalBackend.put = plain

"""What a resumed run takes from its checkpoint although the config says otherwise."""

from typing import Any, Iterator, Mapping

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

# The progress of a schedule, as opposed to its settings.
_PROGRESS = ('last_step', 'base_values', 'verbose')


def overruled_settings(runner: Runner, checkpoint: Mapping[str, Any]) -> list[str]:
    """Settings of optimizer and schedules that differ, which mmengine replaces by the checkpoint's.

    Args:
        runner: With the optimizer and schedules of the config, before it takes the checkpoint's state.
        checkpoint: That is resumed.

    Returns:
        In words, each once: ``lr 0.001 (config: 1e-05)``.
    """
    wrapper = getattr(runner, 'optim_wrapper', None)
    differences: list[str] = []
    if isinstance(wrapper, (OptimWrapper, OptimWrapperDict)):
        differences += _optimizer_differences(wrapper.state_dict(), checkpoint.get('optimizer') or {})
    schedules = _states(getattr(runner, 'param_schedulers', None))
    saved = _states(checkpoint.get('param_schedulers'))
    if 'param_schedulers' in checkpoint and len(schedules) != len(saved):
        differences.append(f'{len(saved)} schedules in the checkpoint ({len(schedules)} in the config)')
    for ours, theirs in zip(schedules, saved):
        settings = {key: value for key, value in ours.items() if key[0] != '_' and key not in _PROGRESS}
        differences += _differences(f'schedule of {ours.get("param_name", "a parameter")}: ', settings, theirs)
    return list(dict.fromkeys(differences))


def _optimizer_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    if 'param_groups' not in ours:  # several optimizers, by name
        for name in ours:
            yield from _optimizer_differences(ours[name], theirs.get(name, {})) if isinstance(ours[name], dict) else ()
        return
    for own, other in zip(ours['param_groups'], theirs.get('param_groups', ())):
        yield from _differences('', _settings(own), _settings(other))


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    """Of a group of parameters: as they were before schedules changed them."""
    first = {key.removeprefix('initial_'): value for key, value in group.items() if key.startswith('initial_')}
    rest = {key: value for key, value in group.items() if key != 'params' and not key.startswith('initial_')}
    return {**rest, **first}


def _differences(where: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for key, value in ours.items():
        if key in theirs and theirs[key] != value:
            yield f'{where}{key} {_plain(theirs[key])} (config: {_plain(value)})'


def _plain(value: Any) -> Any:
    return sorted(value.elements()) if hasattr(value, 'elements') else value  # milestones are counted


def _states(schedules: Any) -> list[Any]:
    """States of schedules, built or saved, of one optimizer or of several."""
    groups = schedules.values() if isinstance(schedules, dict) else [schedules or []]
    listed = [item for group in groups for item in (group if isinstance(group, (list, tuple)) else [group])]
    return [item.state_dict() if hasattr(item, 'state_dict') else item for item in listed if item]

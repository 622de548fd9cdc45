"""The figures that mmengine logs in the work directory of a run."""

from pathlib import Path
from typing import Union


def read_log_lines(run: Union[str, Path]) -> list[str]:
    """The logs of a run and of its resumptions, in their order.

    Args:
        run: Its work directory, or one file with its log.

    Returns:
        Lines of JSON, without what was cut off when the run was killed; none if there is no log.
    """
    logs = [Path(run)] if Path(run).is_file() else sorted(Path(run).glob('*/vis_data/scalars.json'))
    lines = [line for log in logs for line in log.read_text(encoding='utf-8').splitlines()]
    return [line for line in lines if line.endswith('}')]

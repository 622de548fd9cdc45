"""From a folder of pictures to a config: look at the data and the machine, decide, and say why."""

from .plan import PlanOptions, make_plan

__all__ = ['PlanOptions', 'make_plan']

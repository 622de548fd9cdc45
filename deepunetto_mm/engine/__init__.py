"""Extensions of mmengine's Runner."""

from . import hooks
from .hooks import *

__all__ = [*hooks.__all__]

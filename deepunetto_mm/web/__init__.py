"""A page in the browser: see predictions, correct them, save them."""

from .app import make_app
from .gallery import Gallery, Limits
from .models import ExportedModel, TrainedModel

__all__ = ['ExportedModel', 'Gallery', 'Limits', 'TrainedModel', 'make_app']

"""A page in the browser: see predictions, correct them, save them."""

from .app import make_app
from .gallery import Gallery, Limits
from .models import ExportedModel, TrainedModel
from .review import Review

__all__ = ['ExportedModel', 'Gallery', 'Limits', 'Review', 'TrainedModel', 'make_app']

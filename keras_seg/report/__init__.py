"""Reports for people: an HTML file about a run, or a repository of the Hugging Face hub."""

from keras_seg.lazy import lazy_names

__all__ = ["save_to_hub"]

__getattr__, __dir__ = lazy_names(__name__, {"save_to_hub": "keras_seg.report.hub"})

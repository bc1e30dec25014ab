"""A static page that runs an exported file in the browser of its visitor.

keras_seg.web.write_site("model.tflite", "site")  # then: python -m http.server -d site
"""

from keras_seg.web.site import write_site

__all__ = ["write_site"]

"""Scripts that run under other interpreters: they import nothing of keras_seg."""

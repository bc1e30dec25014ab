"""A Core ML package (.mlpackage) of a network, for iOS and macOS, by coremltools."""

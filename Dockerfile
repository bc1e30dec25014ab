# keras-seg as a program:
#
#   docker build -t keras-seg .                          CPU
#   docker build -t keras-seg:gpu --build-arg EXTRAS=gpu .
#
# EXTRAS are extras of setup.cfg, separated by commas. "gpu" installs the CUDA libraries from PyPI, so
# the machine needs only NVIDIA's driver and container toolkit. BASE is any image that has Python 3.11
# to 3.13 with pip. TensorFlow and Keras in it are kept if setup.cfg accepts their versions.
ARG BASE=python:3.13-slim
FROM ${BASE}
ARG EXTRAS=""

COPY setup.cfg pyproject.toml MANIFEST.in README.md LICENSE /source/
COPY keras_seg /source/keras_seg
COPY export /source/export
RUN python3 -m pip install --no-cache-dir "/source${EXTRAS:+[${EXTRAS}]}" && rm -r /source

# any user may run it: docker run --user "$(id -u):$(id -g)" ...
ENV KERAS_HOME=/tmp/keras MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /data
ENTRYPOINT ["keras-seg"]
CMD ["--help"]

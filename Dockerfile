# The project with its environment, for the CPU of an x86-64 machine; TensorFlow 1.15, the reference:
#
#   docker build -t shapes3d .
#   docker run --rm -it -v "$PWD/results:/results" shapes3d
#   bash polygen/test/train_full_1p.sh --training_steps=500 --output_path=/results
#
# The same with TensorFlow 2 on a current Python, also for aarch64:
#
#   docker build -t shapes3d:tf2 --build-arg PYTHON=python:3.12-slim .
#
# setup.sh makes .venv from the lock, in a layer of its own that changes with the locks alone.
ARG PYTHON=python:3.7-slim-bullseye
FROM $PYTHON
ENV PIP_NO_CACHE_DIR=1
WORKDIR /project
COPY setup.sh requirements.txt requirements-tf2.txt ./
RUN bash setup.sh
COPY . .
ENV PATH=/project/.venv/bin:$PATH
CMD ["bash"]

# The project with its environment, for the CPU of an x86-64 machine:
#
#   docker build -t shapes3d .
#   docker run --rm -it -v "$PWD/results:/results" shapes3d
#   bash polygen/test/train_full_1p.sh --training_steps=500 --output_path=/results
#
# setup.sh makes .venv from the lock, in a layer of its own that changes with the lock alone.
FROM python:3.7-slim-bullseye
ENV PIP_NO_CACHE_DIR=1
WORKDIR /project
COPY setup.sh requirements.txt ./
RUN bash setup.sh
COPY . .
ENV PATH=/project/.venv/bin:$PATH
CMD ["bash"]

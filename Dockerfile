# vidfeat in a container, CPU by default:
#   docker build -t vidfeat .
#   docker run --rm -v "$PWD:/data" vidfeat demo -o demo-out
# For a GPU, a base with the CUDA runtime, and torch builds for it from the index that has them:
#   docker build -t vidfeat:gpu --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 --build-arg TORCH_INDEX=URL .
#   docker run --rm --gpus all -v "$PWD:/data" vidfeat:gpu extract videos -o feats.h5 --device cuda
# This image was not built where it was written (no container runtime there): its RUN steps were tried one by one in a
# bare Debian root, and tests/test_dockerfile.py checks its form.
ARG BASE=python:3.12-slim
FROM ${BASE}

# URL of a package index with the wanted builds of torch (CPU only, or of one CUDA version); empty: pip's own choice.
ARG TORCH_INDEX=""

# A C++ compiler for LIBSVM, which comes as source; Python where the base has none.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ $(python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv) \
 && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/vidfeat/bin:$PATH PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/vidfeat \
 && pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY vidfeat ./vidfeat
RUN pip install . && rm -rf /src/build /src/*.egg-info

RUN useradd --create-home --uid 10001 vidfeat
USER vidfeat
WORKDIR /data
ENTRYPOINT ["vidfeat"]
CMD ["--help"]

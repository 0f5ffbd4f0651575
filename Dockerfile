# ssl-host with all its plugins; the steps are the Makefile's.
#
#   docker build -t ssl-host .                                            GPU and CPU: torch's default wheels
#   docker build -t ssl-host --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .    CPU alone, smaller
#   docker run --gpus all --ipc=host --user "$(id -u)" -v "$PWD:/data" ssl-host run config.ini
FROM python:3.12-slim

ARG TORCH_INDEX=""
RUN apt-get update \
 && apt-get install -y --no-install-recommends make g++ pkg-config libopencv-dev libturbojpeg0-dev \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/ssl-host
COPY . .
ENV PIP_EXTRA_INDEX_URL=$TORCH_INDEX PIP_NO_CACHE_DIR=1
RUN make ffcv
ENV PATH=/opt/ssl-host/.venv/bin:$PATH XDG_CACHE_HOME=/data/.cache

# Configurations, images and run folders of whoever uses it.
WORKDIR /data
ENTRYPOINT ["ssl-host"]
CMD ["--help"]

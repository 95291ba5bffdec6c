# All models and the page in a container:
#
#   docker build -t reverie .
#   docker run --rm -p 127.0.0.1:11434:11434 -e REVERIE_TOKEN=a-long-secret -v reverie:/home/reverie/.reverie reverie
#
# Options and settings of `reverie serve` may follow, as --model nano hosting.max_running=16. Without REVERIE_TOKEN it
# refuses to start, as it would be open to whoever reaches the port; allow_open=true says that this is meant. Models are
# fetched into the volume by: docker run --rm -v reverie:/home/reverie/.reverie --entrypoint reverie reverie models pull smol
# The generator's own page: --entrypoint reverie … reverie generator demo --model /generator --host 0.0.0.0
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    REVERIE_HOME=/home/reverie/.reverie

RUN useradd --create-home --uid 1000 reverie && install -d -o reverie /home/reverie/.reverie
WORKDIR /opt/reverie

# torch alone first: its layer is large and changes seldom
COPY constraints.txt ./
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt torch

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt '.[serve,bases,postgres]'

USER reverie
WORKDIR /home/reverie
VOLUME /home/reverie/.reverie
EXPOSE 11434
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:11434/readyz', timeout=4)"]

ENTRYPOINT ["reverie", "serve", "--host", "0.0.0.0"]

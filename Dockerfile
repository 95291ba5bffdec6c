# The generator's page and endpoints in a container:
#
#   docker build -t reverie .
#   docker run --rm -p 127.0.0.1:7860:7860 -e REVERIE_TOKEN=a-long-secret -v "$PWD/runs/engravings/bundle:/generator:ro" reverie
#
# Settings of the server may follow, as max_count=20. Without REVERIE_TOKEN it refuses to start, as it would be open to
# whoever reaches the port; allow_open=true says that this is meant.
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    REVERIE_HOME=/home/reverie/.reverie

RUN useradd --create-home --uid 1000 reverie
WORKDIR /opt/reverie

# torch alone first: its layer is large and changes seldom
COPY constraints.txt ./
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt torch

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt '.[serve]'

USER reverie
WORKDIR /home/reverie
EXPOSE 7860
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]

ENTRYPOINT ["reverie", "generator", "demo", "--model", "/generator", "--host", "0.0.0.0", "--port", "7860"]

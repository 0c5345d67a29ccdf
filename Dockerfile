# The service with the bundled picto, on a CPU. For a GPU: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128
FROM python:3.12-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY constraints.txt ./
# constraints.txt pins every version
# hadolint ignore=DL3013
RUN python -m venv /opt/venv \
    && pip install --constraint constraints.txt --index-url "$TORCH_INDEX" --no-deps torch
COPY pyproject.toml setup.py README.md LICENSE ./
COPY weights weights
COPY dualsafe dualsafe
RUN pip install --constraint constraints.txt ".[serve]"

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home dualsafe
COPY --from=build /opt/venv /opt/venv
# nothing is fetched while it serves; a checkpoint is mounted
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
USER 10001
WORKDIR /home/dualsafe
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["dualsafe"]
CMD ["serve", "--host", "0.0.0.0"]

# One image for every role; docker-compose.yml says which process runs in which container.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PATH=/opt/venv/bin:$PATH
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/requirements.txt
RUN pip install --require-hashes --only-binary :all: -r /tmp/requirements.txt
WORKDIR /app
COPY . .
# Settings need keys even to collect static files: these are made up in /tmp/build and stay behind in this stage.
# Bytecode is compiled now, because nothing can be written next to the code later.
RUN DATA_DIR=/tmp/build STATIC_ROOT=/srv/static python manage.py collectstatic --no-input --verbosity 0 \
    && python -m compileall -q .

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Integrations" \
      org.opencontainers.image.description="Health, tokens, webhooks and jobs of every third-party integration" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --system --gid 10001 app \
    && useradd --system --uid 10001 --gid app --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/static /srv/static
COPY --from=build /app /app
# DATA_DIR is for the embedded installation; with DATABASE_URL and REDIS_URL nothing is written there.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STATIC_ROOT=/srv/static \
    DATA_DIR=/tmp/data
WORKDIR /app
USER app
EXPOSE 8000
# For the web role; the others switch it off. No proxy from the environment stands between us and ourselves.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler as P, build_opener as b; b(P({})).open('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["granian", "--interface", "asgi", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", "--no-ws", "--http", "1", "--log-level", "warning", "--respawn-failed-workers", "config.asgi:application"]

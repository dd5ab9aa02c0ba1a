# The images docker-compose.yml builds itself: the product (target `bookcli`), a PostgreSQL node under Patroni (target
# `patroni`), and etcd in the version the tests run (target `etcd`). Everything else is a public image with the settings of .deploy/ mounted into it.

FROM python:3.11-slim-bookworm AS wheels
WORKDIR /source
# The versions of the lock; it also names what only the tests need, and a constraint installs nothing by itself.
COPY requirements.lock ./
RUN sed -n '/^[a-z]/s/ *\\*$//p' requirements.lock > constraints.txt
COPY pyproject.toml README.md schema.sql ./
COPY bookcli ./bookcli
COPY worker ./worker
RUN python -m venv /opt/bookcli && /opt/bookcli/bin/pip install --no-cache-dir --constraint constraints.txt ".[channels]"

FROM python:3.11-slim-bookworm AS bookcli
RUN useradd --system --create-home --uid 10001 bookcli
COPY --from=wheels /opt/bookcli /opt/bookcli
ENV PATH=/opt/bookcli/bin:$PATH BOOKCLI_HOME=/home/bookcli/state PYTHONUNBUFFERED=1
USER bookcli
WORKDIR /home/bookcli
CMD ["bookcli", "worker", "run"]

FROM postgres:18-bookworm AS patroni
# The version the tests run: pyproject.toml has the same.
ARG PATRONI=4.1.5
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/patroni \
 && /opt/patroni/bin/pip install --no-cache-dir "patroni[etcd3,psycopg3]==${PATRONI}"
ENV PATH=/opt/patroni/bin:$PATH
USER postgres
CMD ["patroni", "patroni.yml"]

FROM debian:bookworm-slim AS etcd
RUN apt-get update \
 && apt-get install -y --no-install-recommends etcd-server etcd-client \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o etcd -g etcd -m 700 /etcd-data
USER etcd
CMD ["etcd"]

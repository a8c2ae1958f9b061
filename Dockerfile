# Built once, run small: wheels are made in the first stage, the second holds no compiler.
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md ./
COPY gateway gateway
COPY metering metering
COPY billing billing
COPY config config
COPY loadtest loadtest
RUN python -m venv /opt/tollgate && /opt/tollgate/bin/pip install --no-cache-dir '.[postgres,otel,compiled]' \
 && /opt/tollgate/bin/python -m gateway.compiled \
 && /opt/tollgate/bin/pip uninstall -y mypy

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/tollgate tollgate
COPY --from=build /opt/tollgate /opt/tollgate
ENV PATH=/opt/tollgate/bin:$PATH PYTHONUNBUFFERED=1 TOLLGATE_ADMIN=http://127.0.0.1:8081
USER tollgate
WORKDIR /var/lib/tollgate
VOLUME /var/lib/tollgate
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
  CMD ["python", "-c", "import os,urllib.request as u; u.urlopen(os.environ['TOLLGATE_ADMIN'] + '/healthz', timeout=2)"]
# The configuration is mounted: docker run -v ./tollgate.yaml:/etc/tollgate/tollgate.yaml:ro …
ENTRYPOINT ["tollgate"]
CMD ["serve", "-c", "/etc/tollgate/tollgate.yaml"]

# One image for every role: `safiri serve http|projector|worker`, `safiri migrate`, and the command line.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONPATH=/opt/safiri MALLOC_ARENA_MAX=2 \
    SAFIRI_DATA_DIR=/var/lib/safiri SAFIRI_HTTP_HOST=0.0.0.0 SAFIRI_HTTP_PORT=8070

RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/safiri safiri \
 && install -d -o safiri -g safiri /var/lib/safiri \
 && printf '#!/bin/sh\nexec python -P -m cli "$@"\n' > /usr/local/bin/safiri \
 && chmod 755 /usr/local/bin/safiri

COPY requirements-run.lock /opt/safiri/
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r /opt/safiri/requirements-run.lock

WORKDIR /opt/safiri
COPY LICENSE ./
COPY calls calls
COPY runtime runtime
COPY migrations migrations
COPY ingest ingest
COPY projections projections
COPY desk desk
COPY virtual virtual
COPY api api
COPY cli cli
RUN python -m compileall -q . && safiri --help > /dev/null

USER safiri
# Deliveries that Kafka could not take wait here: keep it on a disk that outlives the container.
VOLUME /var/lib/safiri
EXPOSE 8070
ENTRYPOINT ["safiri"]
CMD ["serve", "http"]

# syntax=docker/dockerfile:1
# Prometheus of Debian 12 with ../prometheus. Build from scripts/production.
ARG DEBIAN=debian:12.11-slim
FROM ${DEBIAN}
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends prometheus python3-minimal \
    && rm -rf /var/lib/apt/lists/*
COPY prometheus/prometheus.yml prometheus/rules.yml /etc/prometheus/
# HOST:PORT of what is elsewhere; where it is not named, nobody is asked. A validator by its IP address: it answers to no
# other name than localhost.
ARG VALIDATOR=
ARG ALERTMANAGER=
# In a network of containers each process is another machine.
RUN sed -i -e 's|127.0.0.1:8080|market:8080|' -e 's|127.0.0.1:9110|oracle:9110|' -e 's|127.0.0.1:9111|dso-desk:9111|' \
        -e 's|127.0.0.1:9112|aggregator-desk:9112|' -e 's|127.0.0.1:9120|broker-guard:9120|' \
        -e "s|127.0.0.1:9650|$VALIDATOR|" -e "s|127.0.0.1:9093|$ALERTMANAGER|" /etc/prometheus/prometheus.yml \
    && { test -n "$VALIDATOR" || sed -i '/^  # The permissioned network/,$d' /etc/prometheus/prometheus.yml; } \
    && { test -n "$ALERTMANAGER" || sed -i '/^alerting:/,/^$/d' /etc/prometheus/prometheus.yml; } \
    && promtool check config /etc/prometheus/prometheus.yml
USER prometheus
EXPOSE 9090
VOLUME /var/lib/prometheus
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9090/-/ready', timeout=4)"]
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/var/lib/prometheus", "--storage.tsdb.retention.time=90d"]

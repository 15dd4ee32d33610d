# syntax=docker/dockerfile:1
# Mosquitto of Debian 12; its folder (configuration, access list, certificates) is mounted. Build from scripts/production.
ARG DEBIAN=debian:12.11-slim
FROM ${DEBIAN}
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends ca-certificates mosquitto python3-minimal \
    && rm -rf /var/lib/apt/lists/* \
    # The guard's user: it signals Mosquitto, and both write the folder.
    && groupmod -g 10001 mosquitto && usermod -u 10001 -g 10001 mosquitto
USER 10001:10001
EXPOSE 8883
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=4 \
    CMD ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 8883), 4).close()"]
ENTRYPOINT ["/usr/sbin/mosquitto"]
CMD ["-c", "/var/lib/mosquitto/meritgrid/mosquitto.conf"]

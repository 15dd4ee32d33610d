# syntax=docker/dockerfile:1
# nginx of Debian 12 with ../nginx/meritgrid.conf. Build from scripts/production.
ARG DEBIAN=debian:12.11-slim
FROM ${DEBIAN}
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends nginx-light python3-minimal \
    && rm -rf /var/lib/apt/lists/* /etc/nginx/sites-enabled/default \
    && sed -i -e 's|^user .*||' -e 's|^pid .*|pid /tmp/nginx.pid;|' -e 's|worker_connections .*|worker_connections 4096;|' \
        -e 's|access_log .*|access_log /dev/stdout;|' -e 's|error_log .*|error_log /dev/stderr;|' /etc/nginx/nginx.conf
COPY nginx/meritgrid.conf /etc/nginx/conf.d/meritgrid.conf
# The market's own name: callers by any other are refused.
ARG MARKET_NAME
# In a network of containers the market is another machine, and logs go to the container's output.
RUN test -n "$MARKET_NAME" && sed -i -e "s|market\.example|$MARKET_NAME|g" -e 's|server 127.0.0.1:8080;|server market:8080;|' \
        -e 's|/var/log/nginx/meritgrid/access.log|/dev/stdout|' -e 's|/var/log/nginx/meritgrid/error.log|/dev/stderr|' \
        -e 's|listen 443 |listen 8443 |' -e 's|listen \[::\]:443 |listen [::]:8443 |' \
        -e 's|listen 80;|listen 8080;|' -e 's|listen \[::\]:80;|listen [::]:8080;|' /etc/nginx/conf.d/meritgrid.conf \
    && printf '%s\n' 'client_body_temp_path /tmp/body;' 'proxy_temp_path /tmp/proxy;' 'fastcgi_temp_path /tmp/fastcgi;' \
        'uwsgi_temp_path /tmp/uwsgi;' 'scgi_temp_path /tmp/scgi;' >/etc/nginx/conf.d/temporary.conf
USER www-data
EXPOSE 8443 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=4 \
    CMD ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 8443), 4).close()"]
ENTRYPOINT ["nginx", "-g", "daemon off;"]

"""How a thousand gateways come back together when their broker does: a real Mosquitto, the product's own links,
outboxes and buffers of gateways, oracle's line, ingest and store; no chain, which none of it touches."""

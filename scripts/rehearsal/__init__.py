"""The whole market in real time on the parts of production: network, database, broker and every process."""

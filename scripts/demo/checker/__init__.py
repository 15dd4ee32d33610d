"""The independent checker: proves from chain and gateways' buffers that no money or energy appears or vanishes."""

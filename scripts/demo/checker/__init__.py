"""The independent checker: proves from the chain and the gateways' own buffers that no money or energy appears or vanishes."""

"""Checks of the running system: locked tools, and the list of dependencies."""

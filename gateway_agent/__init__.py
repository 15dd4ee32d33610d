"""The agent at the nanogrid: measures, signs, bids and follows dispatch. Installs light: no numpy, no web3."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _installed_version() -> str:
    try:
        return version("meritgrid")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "source"


SOFTWARE_VERSION: Final = _installed_version()

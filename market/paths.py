"""Where the market's files are: one folder, named here for whoever writes them and whoever reads them.

No build or clean touches it. It imports nothing, since Brownie's own environment has few of the market's libraries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

DATA_DIR: Final = Path("meritgrid-data")
"""Below the working directory, where MERITGRID_DATA_DIR names no other."""


def deployment_file(data_dir: Path, chain_id: int) -> Path:
    """The file with the contracts' addresses on a chain, where MERITGRID_DEPLOYMENT_FILE names no other."""
    return data_dir / "deployments" / f"{chain_id}.json"

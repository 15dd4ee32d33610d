"""A small disk is full when it is filled, and no longer when it is relieved."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.chaos.disks import NoSmallDisk, SmallDisk, may_mount


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of one megabyte; where this machine lets nobody mount, that it says so is all that can be tested."""
    small = SmallDisk(tmp_path / "small", 1)
    if why := may_mount(tmp_path / "probe"):
        with pytest.raises(NoSmallDisk, match=r"\w"):
            small.mount()
        pytest.skip(f"no small disk: {why}")
    small.mount()
    yield small
    small.unmount()


def test_nothing_more_fits_on_a_disk_that_is_full_until_it_is_relieved(disk: SmallDisk) -> None:
    kept = disk.folder / "kept"
    kept.write_bytes(b"before")
    disk.fill()
    with pytest.raises(OSError, match="No space left") as refused:
        (disk.folder / "more").write_bytes(bytes(8192))
    assert refused.value.errno == errno.ENOSPC
    disk.relieve()
    (disk.folder / "more").write_bytes(bytes(8192))
    assert kept.read_bytes() == b"before"

"""The settings of glibc's allocator, in a process of its own."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
from pathlib import Path
from artemis_models import tune_allocator

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

tune_allocator()
before = resident()
blocks = [bytes([1]) * 2**20 for _ in range(100)]
kept = blocks[::10]
print(resident() - before >= 90)
del blocks
print(resident() - before <= 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it sets glibc's allocator")
def test_large_blocks_go_back_to_the_system_though_others_stay() -> None:
    process = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["True", "True"]

"""Processes that work for this one."""

import subprocess
import sys

import pytest

UNGUARDED = """
from spiketype.simulator.workers import pool
with pool(2) as submit:
    print(submit(abs, -3).result())
"""
GUARDED = "if __name__ == '__main__':" + UNGUARDED.replace("\n", "\n    ")


@pytest.mark.parametrize("script", [UNGUARDED, GUARDED], ids=["without", "with"])
def test_a_script_that_its_workers_would_run_again_is_told_so(tmp_path, script):
    """A worker imports the script that started it; where that starts workers in turn, Python ends it."""
    path = tmp_path / "mine.py"
    path.write_text(script)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120)
    if script is GUARDED:
        assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
    else:
        assert done.returncode
        assert 'keep what it runs under `if __name__ == "__main__":`' in done.stderr

"""The shell scripts behind `make`: what they stop, and what they leave alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(script: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SAFETYMAP_DATA_DIR": str(data_dir)}
    return subprocess.run([ROOT / "scripts" / script], env=env, capture_output=True, text=True, check=False)


def is_alive(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


@pytest.fixture
def service(tmp_path: Path) -> subprocess.Popen[bytes]:
    """Start a process with the service's command line."""
    fake = tmp_path / "safetymap"
    fake.write_text("import time\ntime.sleep(600)\n")
    return subprocess.Popen([sys.executable, fake, "serve"])


def test_down_ends_the_service(tmp_path: Path, service: subprocess.Popen[bytes]) -> None:
    (tmp_path / "service.pid").write_text(str(service.pid))
    done = run("down.sh", tmp_path)
    assert done.returncode == 0, done.stderr
    assert service.wait(5) == -signal.SIGTERM
    assert not (tmp_path / "service.pid").exists()


def test_down_spares_a_stranger_that_has_the_service_s_old_number(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    (tmp_path / "service.pid").write_text(str(stranger.pid))
    done = run("down.sh", tmp_path)
    assert done.returncode == 0, done.stderr
    assert is_alive(stranger)
    assert not (tmp_path / "service.pid").exists()
    stranger.kill()
    stranger.wait()


def test_down_with_nothing_running_is_no_failure(tmp_path: Path) -> None:
    done = run("down.sh", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "was not running" in done.stdout

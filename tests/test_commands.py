"""The shell scripts behind `make`: what they stop and what they leave alone; the service by its command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.browsing import free_port, listens, wait

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


def test_the_service_starts_by_its_command_and_ends_when_it_shall(database: str, tmp_path: Path) -> None:
    port, program = free_port(), Path(sys.executable).with_name("safetymap")
    there = {"SAFETYMAP_DATABASE_URL": database, "SAFETYMAP_DATA_DIR": str(tmp_path)}
    with (tmp_path / "log").open("w") as said:
        words = [program, "serve", "--port", str(port)]
        service = subprocess.Popen(words, cwd="/", env=os.environ | there, stdout=said, stderr=said)
    try:
        wait(lambda: not is_alive(service) or listens(port), 600)
        assert is_alive(service), (tmp_path / "log").read_text()
        assert httpx.get(f"http://127.0.0.1:{port}/health/live").json() == {"status": "live"}
        service.terminate()
        assert service.wait(60) == -signal.SIGTERM
        assert "Application shutdown complete" in (tmp_path / "log").read_text()
    finally:
        service.kill()

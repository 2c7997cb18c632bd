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


ANSWERS = """
import http.server, sys
class Answers(http.server.SimpleHTTPRequestHandler):
    do_GET = lambda self: (self.send_response(200), self.end_headers())
http.server.HTTPServer((sys.argv[-3], int(sys.argv[-1])), Answers).serve_forever()
"""


def _wait_ready(port: int, data_dir: Path, service: subprocess.Popen[bytes]) -> int:
    """Return what the script that waits for the service says in the end."""
    (data_dir / "logs").mkdir()
    (data_dir / "logs/service.log").touch()
    (data_dir / "service.pid").write_text(str(service.pid))
    env = {**os.environ, "SAFETYMAP_DATA_DIR": str(data_dir), "SAFETYMAP_PORT": str(port)}
    words = ". scripts/common.sh; . scripts/service.sh; wait_ready /health/live"
    return subprocess.run(["bash", "-c", words], cwd=ROOT, env=env, check=False).returncode


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_another_program_that_answers_is_not_the_service(tmp_path: Path, host: str) -> None:
    """Whoever takes the port while the service starts answers in its place; the service then ends."""
    (tmp_path / "safetymap").write_text("import time\ntime.sleep(4)\n")
    port = free_port()
    starts = subprocess.Popen([sys.executable, tmp_path / "safetymap", "serve", "--port", str(port)])
    stranger = subprocess.Popen([sys.executable, "-c", ANSWERS, "serve", host, "--port", str(port)])
    try:
        wait(lambda: listens(port), 60)
        assert _wait_ready(port, tmp_path, starts) == 1
    finally:
        for one in (starts, stranger):
            one.kill()
            one.wait()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_service_that_answers_is_ready(tmp_path: Path, host: str) -> None:
    (tmp_path / "safetymap").write_text(ANSWERS)
    port = free_port()
    service = subprocess.Popen([sys.executable, tmp_path / "safetymap", "serve", host, "--port", str(port)])
    try:
        assert _wait_ready(port, tmp_path, service) == 0
    finally:
        service.kill()
        service.wait()


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

"""The log of requests: whatever becomes of its lines, answers go out."""

import subprocess
import sys
from pathlib import Path

import pytest

_ASKS = """
import sys
from fastapi.testclient import TestClient
from api import journal
from api.main import make_app
journal.configure("debug")
client = TestClient(make_app(lambda: None, sys.argv[1]), raise_server_exceptions=False)
answers = [client.get(path).status_code for path in ("/health/live", "/nothing", "/health/live", "/docs")]
print(answers, int(journal.LOST._value.get()))
"""


@pytest.mark.parametrize("takes_lines", [True, False])
def test_a_log_that_is_full_fails_no_answer(tmp_path: Path, takes_lines: bool) -> None:
    where = tmp_path / "log" if takes_lines else Path("/dev/full")
    with where.open("w") as log:
        asked = [sys.executable, "-c", _ASKS, str(tmp_path)]
        done = subprocess.run(asked, stdout=subprocess.PIPE, stderr=log, text=True, check=False)
    answers, _, lost = done.stdout.strip().rpartition(" ")
    assert answers == "[200, 404, 200, 200]"
    assert (int(lost) == 0) == takes_lines
    assert not takes_lines or where.read_text().count('"event":"request"') == 4

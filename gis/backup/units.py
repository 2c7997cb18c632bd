"""The systemd units that take a backup every night."""

import re
from pathlib import Path

from gis.errors import BadInput

_SERVICE = """\
[Unit]
Description=Backup of the safety map
After=network-online.target

[Service]
Type=oneshot
User={user}
Environment={environment}
ExecStart={program} backup
ExecStart={program} backup verify
Nice=10
IOSchedulingClass=idle
"""
_TIMER = """\
[Unit]
Description=Backup of the safety map every night

[Timer]
OnCalendar=*-*-* {at}:00
RandomizedDelaySec=300
Persistent=true

[Install]
WantedBy=timers.target
"""


def units(at: str, program: Path, data_dir: Path) -> dict[str, str]:
    """Return the units by file name, run by the data directory's owner as the service is.

    A night that the machine slept through is made up for.

    Raises BadInput for a time that is none.
    """
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", at):
        raise BadInput("--at", f"{at!r} is no time of day; write 02:30")
    service = _SERVICE.format(
        user=data_dir.owner(),
        environment=_quoted(f"SAFETYMAP_DATA_DIR={data_dir}"),
        program=_quoted(str(program)),
    )
    return {
        "safetymap-backup.service": service,
        "safetymap-backup.timer": _TIMER.format(at=at),
    }


def _quoted(text: str) -> str:
    """Return a word as systemd.syntax(7) quotes it, with its own signs doubled."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'

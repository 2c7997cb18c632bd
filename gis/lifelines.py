"""An incident's life: which states follow which, the steps that stand, and the correction of a wrong one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import clocks
from gis.db import Record
from gis.errors import BadInput, NotFound
from gis.schema import incidents, transitions

NEXT = {
    "reported": ("dispatched", "withdrawn"),
    "dispatched": ("handling", "withdrawn"),
    "handling": ("verifying", "withdrawn"),
    "verifying": ("closed", "handling", "withdrawn"),
    "closed": (),
    "withdrawn": (),
}
"""The closed loop: where an incident may go from each state; what is not verified goes back to handling."""


def standing(conn: Connection, incident_id: int) -> list[Record]:
    """Return the steps of a life in their order, corrections in the place of what they correct.

    Notes of corrected fields, which move no state, are none of them.
    """
    t = transitions.c
    rows = conn.execute(sa.select(transitions).where(t.incident_id == incident_id).order_by(t.id)).all()
    life: list[Record] = []
    for row in rows:
        place = next((at for at, step in enumerate(life) if step.id == row.corrects), None)
        if place is None:
            life += [row] * (row.from_state != row.to_state)
        else:
            life[place : place + 1] = [row] * (row.to_state == life[place].to_state)
    return life


def correct_step(
    conn: Connection, incident_id: int, step_id: int, note: str, at: datetime | None = None
) -> list[str]:
    """Give a step of a life its right time, or take the last one back (`at` None); both stay to be read.

    State, responded_at and closed_at follow the steps that then stand. Raises NotFound when there is no such
    step, BadInput when it does not stand any more, is not the last one, or its time would not be in order.
    """
    old = conn.execute(
        sa.select(incidents).where(incidents.c.id == incident_id).with_for_update()
    ).one_or_none()
    life = standing(conn, incident_id) if old is not None else []
    place = next((place for place, step in enumerate(life) if step.id == step_id), None)
    if old is None or place is None:
        raise NotFound(f"incident {incident_id} has no standing step {step_id}")
    step = life[place]
    given = at and clocks.in_city(conn, at)
    if given is None:
        values, told = _taken_back(life, place), list[str]()
    else:
        moment, told = _moved(old, life, place, given)
        values = {"from_state": step.from_state, "to_state": step.to_state, "at": moment}
    row = {"incident_id": incident_id, "note": note, "corrects": step.id} | values
    conn.execute(transitions.insert().values(**row))
    _follow(conn, old, step, life)
    return told


def _taken_back(life: Sequence[Record], place: int) -> dict[str, Any]:
    step = life[place]
    if place != len(life) - 1:
        raise BadInput("step", "is not the last one; take back those behind it first, or correct its time")
    if step.from_state is None:
        raise BadInput("step", "is the report itself; withdraw the incident instead")
    return {"from_state": step.to_state, "to_state": step.from_state}


def _moved(old: Record, life: Sequence[Record], place: int, at: datetime) -> tuple[datetime, list[str]]:
    """Return the moment to which a step is moved, between those before and behind it."""
    if life[place].from_state is None:
        raise BadInput("step", "is the report itself; correct the incident's reported_at")
    before = max([old.reported_at, *(step.at for step in life[:place])])
    moment, told = clocks.of_step(at, before)
    behind = min((step.at for step in life[place + 1 :]), default=moment)
    if moment > behind:
        raise BadInput("at", f"{moment.isoformat()} is behind the next step, {behind.isoformat()}")
    return moment, told


def _follow(conn: Connection, old: Record, step: Record, life: Sequence[Record]) -> None:
    """Bring an incident's state and times in line with the steps that stand once one of a life is corrected.

    An imported incident has the state that came with it before its first step, and may have been answered
    before that.
    """
    stands = standing(conn, old.id)
    values: dict[str, Any] = {"state": stands[-1].to_state if stands else step.from_state}
    if step.to_state == "handling" and old.responded_at in _times(life, "handling"):
        values["responded_at"] = min(_times(stands, "handling"), default=None)
    if step.to_state == "closed":
        values["closed_at"] = max(_times(stands, "closed"), default=None)
    conn.execute(incidents.update().where(incidents.c.id == old.id).values(**values))


def _times(life: Sequence[Record], state: str) -> list[datetime]:
    return [step.at for step in life if step.to_state == state]

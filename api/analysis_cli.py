"""Commands that answer questions about incidents: the effect of a measure."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from api.console import app, out, plain_errors
from gis import city, db, grids
from gis.errors import BadInput
from gis.schema import COLOURS
from layers.delays import view_span

if TYPE_CHECKING:
    from layers.evaluation import Evaluated
    from layers.stats.displacement import Difference

_DAY = ["%Y-%m-%d"]


@app.command()
@plain_errors
def evaluate(
    area: Annotated[str, typer.Argument(help="Code of the grid where the measure was.")],
    control: Annotated[str, typer.Argument(help="Code of a grid like it, where there was none.")],
    since: Annotated[datetime, typer.Option(formats=_DAY, help="First day of the measure.")],
    to: Annotated[
        datetime | None,
        typer.Option(formats=_DAY, help="First day after it, as `to` everywhere: since ≤ t < to."),
    ] = None,
    ring_m: Annotated[
        float | None, typer.Option(help="Width of a ring around the area, for what moved next door, m.")
    ] = None,
    category: Annotated[str | None, typer.Option(help="Category, with all below it.")] = None,
) -> None:
    """Say what a measure did: the area's change from the period before, less that of its control."""
    # Here, not above: its statistics are half of what every other command would wait for.
    from layers import evaluation  # noqa: PLC0415
    from layers.provisional import unrecorded  # noqa: PLC0415
    from layers.view import View  # noqa: PLC0415

    if ring_m is not None and not 0 < ring_m <= evaluation.MOST_RING_M:
        raise BadInput("ring-m", f"must be more than 0 and at most {evaluation.MOST_RING_M:g} m")
    if to is not None and to <= since:
        raise BadInput("to", "must be after --since: it is the first day after the measure")
    with db.work_engine().connect() as conn:
        asked, zone = grids.resolve(conn, grids.Wish()), ZoneInfo(city.the_city(conn).timezone)
        start, end = (day and day.replace(tzinfo=zone) for day in (since, to))
        wanted = city.with_descendants(conn, category) if category else None
        view = View(asked.scheme, asked.on, asked.known, start=start, end=end, area=area, categories=wanted)
        grids.grid(conn, area, asked)
        found, missing = (
            evaluation.evaluate(conn, view, control, ring_m),
            unrecorded(view, view_span(conn, view)),
        )
        if missing:
            cut = f"{missing.days:.4g} days of the period have no records and are left out"
            out.print(cut, highlight=False, soft_wrap=True)
        _tell(found, area, control)


def _tell(found: "Evaluated", area: str, control: str) -> None:
    assert found.view.start
    assert found.view.end
    parts = [("area", area, found.area), ("control", control, found.control), ("ring", "", found.ring)]
    lines = [f"since {found.view.start:%Y-%m-%d %H:%M} until {found.view.end:%Y-%m-%d %H:%M}"]
    for name, code, counts in parts:
        if counts is not None:
            told = ", ".join(
                f"{colour} {b} to {a}" for colour, (b, a) in zip(COLOURS, counts.tolist(), strict=True)
            )
            lines.append(
                f"{name} {code}".strip() + f": {counts[:, 0].sum()} to {counts[:, 1].sum()} ({told})"
            )
    lines += [f"difference: {_in_words(found.plain)}", f"harm: {_in_words(found.weighted)}"]
    lines += [f"with the ring: {_in_words(found.displaced)}"] if found.ring is not None else []
    lines += [f"{name}: no incident in either period, it says nothing" for name in found.empty]
    for line in lines:
        out.print(line, highlight=False, soft_wrap=True)


def _in_words(one: "Difference | None") -> str:
    if one is None:
        return "nothing can be said of it, there was no incident to count in either period"
    low, high = one.interval
    return f"{one.value:+g} ({low:+.1f} to {high:+.1f}), p {one.p:.3g}"

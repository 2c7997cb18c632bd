"""What follows from a row's own fields and place: per kind one function, in a literal table."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gis.crs import DATUMS, may_be_shifted
from gis.importing import addressing, centrelines, no_place, placing, times
from gis.importing.drafting import Draft
from gis.importing.evidence import check_datum
from gis.importing.ground import Codes, Days
from gis.importing.job import Job
from gis.importing.parsing import Bools, mask
from gis.importing.placing import Placed

_LAST_SECOND = np.timedelta64(86_399, "s")


def locate(job: Job, made: Draft) -> Placed:
    """Return where a draft's rows lie in WGS-84, refusing those that cannot be right."""
    made.chunk = no_place.blanked(made.chunk, job.mapping)
    where, by_address = _given_places(job, made)
    no_place.refuse_island(made, where)
    placing.check_range(made, where, job.ground)
    said = made.text("datum")
    if job.datum is not None:
        contradicts = mask(pc.not_equal(said, job.datum))
        made.sieve.refuse(contradicts, "datum", f"contradicts --datum {job.datum}; leave that out", said)
    datums = pc.if_else(pa.array(by_address), "wgs84", pc.fill_null(said, job.said))
    for datum in DATUMS:
        where = placing.shifted(where, datum, mask(pc.equal(datums, datum)) & made.sieve.ok)
    placing.check_city(made, where, job.ground)
    # A place that is written in another datum than it came in says which that was.
    made.columns["datum"] = pc.coalesce(made.text("original_datum"), datums)
    _own(job, made, where, mask(pc.is_valid(said)) | by_address)
    return where


def _given_places(job: Job, made: Draft) -> tuple[Placed, Bools]:
    """Return the places that rows give, in their datum, or have by their address, and which have those."""
    if job.addresses is None:
        return placing.place(made, job.kind, job.mapping, job.source, job.ways), np.zeros(len(made), bool)
    wanted = addressing.lacking(made, job.mapping)
    made.sieve.ok &= ~wanted
    if addressing.has_place_columns(made, job.mapping):
        where = placing.place(made, job.kind, job.mapping, job.source, job.ways)
    else:
        where = addressing.nowhere(len(made))
        made.sieve.refuse(~wanted, "address", "is missing, and there are no coordinates; fill in either")
    made.sieve.ok |= wanted
    days = _days(made, job.rules.zone)
    where, placed = addressing.fill(made, where, wanted, job.addresses, job.ground, days)
    addressing.hold_recorded(made, where, placed, job.ground)
    return where, placed


def _own(job: Job, made: Draft, where: Placed, labelled: npt.NDArray[np.bool_]) -> None:
    """Find the grid of each good row, and doubt the datum of those that nobody said it of."""
    rows, days = np.flatnonzero(made.sieve.ok), _days(made, job.rules.zone)
    owners: Codes = np.full(len(made), None, dtype=object)
    owners[rows] = job.ground.owners(where.lon[rows], where.lat[rows], days[rows])
    is_plain = labelled.all() or (job.datum is not None and job.kind.name != "incidents")
    if not is_plain and may_be_shifted(job.rules.home):
        check_datum(made, where, job.ground, days, owners, job.evidence, refuse=job.datum is None)
    job.unowned += int(np.count_nonzero(made.sieve.ok & (owners == np.array(None))))
    made.columns["grid_code"] = pa.array(owners, pa.string())


def _days(made: Draft, zone: str) -> Days:
    """Return the local day on which each row's owner is asked: of its occurrence, else today."""
    if "occurred_at" not in made.columns:
        today = np.datetime64(pd.Timestamp.now(zone).date())
        return np.full(len(made), today)
    days: Days = local_days(made.columns["occurred_at"], zone).to_numpy(zero_copy_only=False)
    return days


def incidents(job: Job, made: Draft, where: Placed | None) -> Placed | None:
    """Give each incident a unified code and a time of report, and refuse a life that runs backwards."""
    given = made.columns
    named = pc.binary_join_element_wise(
        pc.fill_null(made.text("origin"), job.mapping.origin), given["origin_id"], ":"
    )
    given["code"] = pc.coalesce(made.text("code"), named)
    _end_spans(made, job.rules.zone)
    latest = pc.coalesce(given["occurred_until"], given["occurred_at"])
    given["reported_at"] = pc.coalesce(given.get("reported_at", latest), latest)
    dated = made.dated.get("occurred_at", np.zeros(len(made), bool))
    shown = pa.array(np.where(dated, "day", "second"), pa.string())
    given["occurred_precision"] = pc.coalesce(made.text("occurred_precision"), shown)
    last = given["occurred_at"]
    for step in job.kind.life[1:]:
        if step in given:
            given[step] = _within_the_day(given[step], last, made.dated.get(step), job.rules.zone)
            _refuse_backwards(made, step, job.kind.life)
            last = pc.coalesce(given[step], last)
    return where


def _end_spans(made: Draft, zone: str) -> None:
    """Let a span that ends on a day end with it, or with the report on that day."""
    given, dated = made.columns, made.dated.get("occurred_until")
    given.setdefault("occurred_until", pa.nulls(len(made), given["occurred_at"].type))
    if dated is None or not dated.any():
        return
    until, reported = given["occurred_until"], given.get("reported_at", given["occurred_until"])
    days = local_days(until, zone).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    over = times.to_utc(days + _LAST_SECOND, zone).utc
    ends = pa.array(over, pa.timestamp("us")).cast(until.type)
    told = made.dated.get("reported_at", np.zeros(len(made), bool))
    within = pc.and_(pa.array(~told), pc.and_(pc.greater(reported, until), pc.less(reported, ends)))
    ends = pc.if_else(pc.fill_null(within, False), reported, ends)
    given["occurred_until"] = pc.if_else(pa.array(dated), ends, until)


def _refuse_backwards(made: Draft, step: str, life: Sequence[str]) -> None:
    """Refuse rows in which a step lies before one that precedes it, naming the nearest."""
    shown = made.written.get(step, made.columns[step])
    for earlier in reversed(life[: life.index(step)]):
        if earlier in made.columns:
            backwards = mask(pc.less(made.columns[step], made.columns[earlier]))
            made.sieve.refuse(backwards, step, f"is before {earlier}; correct one of them", shown)


def _within_the_day(step: pa.Array, last: pa.Array, dated: Bools | None, zone: str) -> pa.Array:
    """Return a step's times; a day without a time of day is no earlier than what came before on that day."""
    if dated is None or not dated.any():
        return step
    same = pc.equal(*(local_days(one, zone) for one in (step, last)))
    lifted = pc.and_(pa.array(dated), pc.and_(same, pc.less(step, last)))
    return pc.if_else(pc.fill_null(lifted, False), last, step)


def local_days(moments: pa.Array, zone: str) -> pa.Array:
    """Return the day of each moment in a zone."""
    return pc.local_timestamp(moments.cast(pa.timestamp("us", zone))).cast(pa.date32(), safe=False)


def staff(_job: Job, made: Draft, where: Placed | None) -> Placed | None:
    """A person with a grid needs a post there."""
    for name in ("grid_code", "post"):
        made.columns[name] = made.text(name)
    for name in ("valid_from", "valid_to"):
        made.columns.setdefault(name, pa.nulls(len(made), pa.date32()))
    first, after = made.columns["valid_from"], made.columns["valid_to"]
    backwards = mask(pc.greater_equal(first, after))
    made.sieve.refuse(backwards, "valid_to", "is not after valid_from; correct one of them", after)
    bare = mask(pc.and_(pc.is_valid(made.text("grid_code")), pc.is_null(made.text("post"))))
    made.sieve.refuse(
        bare, "post", "is missing, though the row names a grid; fill in what the person is there"
    )
    return where


def categories(_job: Job, made: Draft, where: Placed | None) -> Placed | None:
    """A name in one language stands for the other as well."""
    zh, en = made.text("name_zh"), made.text("name_en")
    made.columns |= {"name_zh": pc.coalesce(zh, en), "name_en": pc.coalesce(en, zh)}
    made.columns["parent"] = made.text("parent")
    nameless = mask(pc.is_null(made.columns["name_zh"]))
    made.sieve.refuse(nameless, "name_zh", "is missing, and so is name_en; fill in one of them")
    return where


def responders(_job: Job, made: Draft, where: Placed | None) -> Placed | None:
    """A responder without skills has an empty list of them."""
    made.columns["skills"] = pc.fill_null(made.text("skills"), "{}")
    return where


def roads(_job: Job, made: Draft, where: Placed | None) -> Placed:
    """Bring centre lines into the form of the graph: driven as drawn, with nodes, numbers and lengths."""
    assert where is not None  # roads have a shape
    centrelines.tidy_numbers(made)
    where = centrelines.turned(made, where)
    centrelines.number_nodes(made, where)
    centrelines.measure(made, where)
    return where


DERIVE: dict[str, Callable[[Job, Draft, Placed | None], Placed | None]] = {
    "incidents": incidents,
    "staff": staff,
    "categories": categories,
    "responders": responders,
    "roads": roads,
}

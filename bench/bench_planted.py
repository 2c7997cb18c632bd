"""The demo city's planted clusters: how many are found, how much of what is called hot is planted."""

from gis import city, db, grids, record_span
from layers import planted


def main() -> None:
    """Print recall and precision of the configured database's city at two resolutions."""
    with db.work_engine().connect() as conn:
        asked = grids.resolve(conn, grids.Wish())
        found = city.the_city(conn)
        print(f"{found.name_en}, {found.size}, {record_span.incident_span(conn).count:,} incidents\n")
        print(
            "| look | res | recall | precision (cells) | quiet maps with a hot cell |\n|---|---|---|---|---|"
        )
        for res in (8, 9):
            looks = {
                "own category and days": planted.as_known(conn, asked, res),
                "its category, month by month": list(planted.by_month(conn, asked, res)),
            }
            for name, trials in looks.items():
                s = planted.score(trials)
                alarms = f"{s.alarms} of {s.quiet}"
                print(f"| {name} | {res} | {s.found} of {s.planted} | {s.true} of {s.hot} | {alarms} |")


if __name__ == "__main__":
    main()

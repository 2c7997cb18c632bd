"""A process of the service that answers everything for hours keeps within a bound of memory, and stays flat.

SAFETYMAP_SOAK_S: how long, two hours by default; SAFETYMAP_SOAK_CITY: a data directory that holds a city.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import httpx2 as httpx
import pytest
import sqlalchemy as sa

from gis import access, cluster, db, postgres
from gis.settings import ROOT
from layers.catalogue import CATALOG
from tests.browsing import free_port, wait
from tests.operations import KNOWN, Document
from tests.serving import path

SECONDS = float(os.environ.get("SAFETYMAP_SOAK_S", "7200"))
CLIENTS, MOST_MB, EVERY_S, SEED = 8, 700, 5.0, 15
FLAT = 1.1
"""The last quarter's median size over that of the second: after the first, nothing grows any more."""
ROLES = (None, "field", "commander", "planner", "approver", "admin")
PROGRAM = Path(sys.executable).with_name("safetymap")


def made_city(home: Path) -> None:
    """Load the demo of the size `city` by the commands themselves."""
    settings = os.environ | {"SAFETYMAP_DATA_DIR": str(home), "SAFETYMAP_SIZE": "city"}
    for words in (["demo", "zhuzhou"], ["refresh"]):
        subprocess.run([PROGRAM, *words], cwd=ROOT, env=settings, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    if not postgres._installations():
        pytest.skip("no PostgreSQL ≥ 15 is installed here for a private cluster")
    if made := os.environ.get("SAFETYMAP_SOAK_CITY"):
        yield Path(made)
        return
    with tempfile.TemporaryDirectory(prefix="soak-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        made_city(folder)
        try:
            yield folder
        finally:
            cluster.down(folder)


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, int]]:
    """One process over the city: its address, and its number."""
    port = free_port()
    with (home / "soak.log").open("w") as said:
        words = [PROGRAM, "serve", "--port", str(port)]
        settings = os.environ | {"SAFETYMAP_DATA_DIR": str(home)}
        service = subprocess.Popen(words, cwd=ROOT, env=settings, stdout=said, stderr=said)
    base = f"http://127.0.0.1:{port}"
    try:
        wait(lambda: _lives(base), 120)
        yield base, service.pid
    finally:
        service.terminate()
        service.wait(60)


def _lives(base: str) -> bool:
    try:
        return httpx.get(f"{base}/health/live", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


class City:
    """What can be asked of the city: values by the names of parameters, and places."""

    def __init__(self, home: Path) -> None:
        engine = db.make_engine(cluster.up(home))
        with engine.begin() as conn:
            scheme = conn.execute(sa.text("SELECT scheme FROM grids LIMIT 1")).scalar_one()
            self.keys = {
                role: access.create_key(conn, role, scheme=scheme, label="soak").key for role in ROLES if role
            }
            one = conn.execute(
                sa.text("SELECT ST_XMin(b), ST_YMin(b), ST_XMax(b), ST_YMax(b) "
                        "FROM (SELECT ST_Extent(geom) b FROM grids) e")
            ).one()  # fmt: skip
            self.box: tuple[float, ...] = tuple(one)
            codes = (
                conn.execute(sa.text("SELECT DISTINCT code FROM grids ORDER BY 1 LIMIT 400")).scalars().all()
            )
            categories = conn.execute(sa.text("SELECT code FROM categories")).scalars().all()
            houses = conn.execute(sa.text("SELECT id FROM incidents LIMIT 400")).scalars().all()
            texts = (
                conn.execute(sa.text("SELECT address FROM buildings WHERE address <> '' LIMIT 400"))
                .scalars()
                .all()
            )
        engine.dispose()
        rng = Random(SEED)
        west, south, east, north = self.box
        lons = tuple(round(rng.uniform(west, east), 6) for _ in range(400))
        lats = tuple(round(rng.uniform(south, north), 6) for _ in range(400))
        days = tuple(f"2025-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 28))
        boxes = tuple(
            f"{x},{y},{x + w:.6f},{y + w:.6f}" for x, y in zip(lons, lats, strict=True) for w in (0.01, 0.1)
        )
        self.known = KNOWN | {
            "lon": lons, "lat": lats, "code": tuple(codes), "area": tuple(codes), "scope": tuple(codes),
            "grid": tuple(codes), "under": tuple(codes), "q": (*texts, *codes), "category": tuple(categories),
            "categories": tuple(categories), "incident_id": tuple(houses), "bbox": boxes, "scheme": (scheme,),
            "from": days[:160], "to": days[160:], "start": days[:160], "end": days[160:], "on": days,
            "res": (7, 8, 9, 10), "known": (1,), "at": tuple(f"{day}T12:00:00Z" for day in days),
            "limit": (10, 100, 1000), "z": (14,),
        }  # fmt: skip

    def tile(self, rng: Random) -> str:
        """The path of any layer's tile somewhere in the city, under a view in one of ten."""
        layer = rng.choice(CATALOG)
        z = rng.randint(layer.minzoom, min(layer.maxzoom, 17))
        west, south, east, north = self.box
        place = path(layer.name, (rng.uniform(west, east), rng.uniform(south, north)), z)
        view = (
            f"?from={rng.choice(self.known['from'])}&to={rng.choice(self.known['to'])}"
            if rng.random() < 0.1
            else ""
        )
        return f"{place}{view}"


def client(base: str, city: City, seed: int, ends: float, seen: Counter[int]) -> None:
    """Ask by turns for tiles and for everything that can be read, as anybody and by every role."""
    rng = Random(seed)
    with httpx.Client(base_url=base, timeout=120, trust_env=False) as asking:
        document = Document(asking.get("/openapi.json").json(), b"", known=dict(city.known))
        read = [one for one in document.operations() if one.method == "GET"]
        while time.monotonic() < ends:
            key = city.keys.get(rng.choice(ROLES) or "")
            if rng.random() < 0.5:
                heads = {"Authorization": f"Bearer {key}"} if key else {}
                answer = asking.get(city.tile(rng), headers=heads)
            else:
                answer = document.request(rng, rng.choice(read)).send(asking, key)  # type: ignore[arg-type]
            seen[answer.status_code] += 1


def size_mb(pid: int) -> float:
    """The resident memory of a process."""
    told = Path(f"/proc/{pid}/status").read_text()
    return int(told.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.slow
def test_memory_is_bounded_and_flat(home: Path) -> None:
    city, seen, sizes = City(home), Counter[int](), list[float]()
    with serving(home) as (base, pid):
        begun = size_mb(pid)
        ends = time.monotonic() + SECONDS
        clients = [
            threading.Thread(target=client, args=(base, city, SEED + n, ends, seen)) for n in range(CLIENTS)
        ]
        for one in clients:
            one.start()
        while time.monotonic() < ends:
            time.sleep(EVERY_S)
            sizes.append(size_mb(pid))
        for one in clients:
            one.join()
    quarter = len(sizes) // 4
    medians = [round(statistics.median(sizes[n * quarter : (n + 1) * quarter])) for n in range(4)]
    told = f"begun {begun:.0f} MB, quarters {medians}, most {max(sizes):.0f} MB, {dict(sorted(seen.items()))}"
    sys.stdout.write(f"{told}\n")
    assert sum(seen.values()) > SECONDS, told
    assert seen[200] + seen[204] > sum(seen.values()) / 3, told
    assert not [status for status in seen if status >= 500 and status != 503], told
    assert max(sizes) <= MOST_MB, told
    assert medians[3] <= FLAT * medians[1], told

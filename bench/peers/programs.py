"""The servers that are compared: how each is found or built, told what to serve, and started."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

from sqlalchemy.engine import make_url

SCHEMA = "peers"
"""Views with the very columns of our layers, one per layer, for the peers to serve."""
CORES = os.cpu_count() or 1
OUR_WORKERS = int(os.environ.get("OUR_WORKERS", CORES))
CONNECTIONS = 8
BUFFER = 64


class Missing(Exception):  # noqa: N818 - it is told in the table
    """A peer can neither be found nor built here; the text says why."""


@dataclass(frozen=True)
class Ground:
    """What all serve: the database, the columns of each view, and a folder for programs and settings."""

    url: str
    columns: Mapping[str, Mapping[str, str]]
    folder: Path


@dataclass(frozen=True)
class Peer:
    """A server: its command and environment for a port, and where a view's tiles are."""

    name: str
    version: str
    command: Callable[[Ground, int], tuple[list[str], dict[str, str]]]
    template: str


def _by_query(url: str) -> str:
    """A database behind a socket, for programs that want a host all the same and then take the query's."""
    told = make_url(url)
    if told.host or "host" not in told.query:
        return url
    there = told.set(host="localhost", port=int(str(told.query.get("port", 5432))))
    there = there.difference_update_query(["port"]).update_query_dict({"sslmode": "disable"})
    return there.render_as_string(hide_password=False)


def _by_host(url: str) -> str:
    """The same for programs that take a percent-encoded folder as the host."""
    told = make_url(url)
    if told.host or "host" not in told.query:
        return url
    login = f"{told.username}:{quote(told.password or '', safe='')}"
    folder, port = quote(str(told.query["host"]), safe=""), told.query.get("port", 5432)
    return f"postgresql://{login}@{folder}:{port}/{told.database}"


def _found(name: str, ground: Ground, build: Callable[[Path], None]) -> str:
    """Return a program from the PATH, or from the folder where it is built once."""
    place = ground.folder / "bin" / name
    if found := shutil.which(name):
        return found
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        build(place)
    return str(place)


def _run(words: list[str], folder: Path, why: str, **environment: str) -> None:
    print(f"building: {' '.join(words)}", file=sys.stderr)
    try:
        subprocess.run(
            words,
            cwd=folder,
            env=os.environ | environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        raise Missing(f"{why}: {said.decode(errors='replace').strip().splitlines()[-1][:160]}") from error


def _build_martin(place: Path) -> None:
    words = ["cargo", "install", "martin", "--version", "1.14.0", "--locked", "--no-default-features"]
    features = ["--features", "postgres,mbtiles,pmtiles,metrics", "--root", str(place.parent.parent)]
    _run([*words, *features], place.parent, "cargo install failed")


def _build_with_go(module: str, version: str, package: str, tags: str = "") -> Callable[[Path], None]:
    """Build a program of a module at a version; `go install` asks for the list of versions as well."""

    def build(place: Path) -> None:
        folder = place.parent.parent / f"{place.name}-source"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "go.mod").write_text(f"module peer\n\ngo 1.21\n\nrequire {module} {version}\n")
        words = ["go", "build", "-tags", tags, "-o", str(place), package]
        _run(words, folder, "the Go build failed", GOFLAGS="-mod=mod")

    return build


def _martin(ground: Ground, port: int) -> tuple[list[str], dict[str, str]]:
    tables = {
        name: {
            "schema": SCHEMA, "table": name, "srid": 4326, "geometry_column": "geom", "id_column": "id",
            "geometry_type": "GEOMETRY", "extent": 4096, "buffer": BUFFER, "clip_geom": True,
            "properties": {column: kind for column, kind in columns.items() if column != "id"},
        }
        for name, columns in ground.columns.items()
    }  # fmt: skip
    postgres = {
        "connection_string": ground.url, "pool_size": CONNECTIONS, "auto_publish": False, "tables": tables,
        "auto_bounds": "skip",
    }  # fmt: skip
    told = {"listen_addresses": f"127.0.0.1:{port}", "worker_processes": CORES, "postgres": postgres}
    file = ground.folder / "martin.yaml"
    file.write_text(json.dumps(told))  # JSON is YAML
    return [_found("martin", ground, _build_martin), "--config", str(file)], {"RUST_LOG": "error"}


_TEGOLA = """
[webserver]
port = "127.0.0.1:{port}"
[[providers]]
name = "city"
type = "mvt_postgis"
uri = "{url}"
{layers}
[[maps]]
name = "city"
{shown}
"""
_TEGOLA_LAYER = '''
[[providers.layers]]
name = "{name}"
geometry_fieldname = "geom"
geometry_type = "{kind}"
id_fieldname = "id"
srid = 3857
sql = """SELECT ST_AsMVTGeom(ST_Transform(geom, 3857), !BBOX!, 4096, {buffer}, true) AS geom, {columns}
FROM {schema}.{name} WHERE geom && ST_Transform(ST_Expand(!BBOX!, !PIXEL_WIDTH! * 4), 4326)"""
'''
_TEGOLA_SHOWN = '[[maps.layers]]\nprovider_layer = "city.{name}"\nmin_zoom = 0\nmax_zoom = 22\n'


def _tegola(ground: Ground, port: int) -> tuple[list[str], dict[str, str]]:
    layers = "".join(
        _TEGOLA_LAYER.format(
            name=name, kind="polygon", buffer=BUFFER, schema=SCHEMA,
            columns=", ".join(columns),
        )
        for name, columns in ground.columns.items()
    )  # fmt: skip
    shown = "".join(_TEGOLA_SHOWN.format(name=name) for name in ground.columns)
    file = ground.folder / "tegola.toml"
    file.write_text(_TEGOLA.format(port=port, url=_by_query(ground.url), layers=layers, shown=shown))
    without = "noAzblobCache noS3Cache noGCSCache noRedisCache noGpkgProvider noHanaProvider noViewer"
    module = "github.com/go-spatial/tegola"
    build = _build_with_go(module, "v0.21.2", f"{module}/cmd/tegola", without)
    return [_found("tegola", ground, build), "serve", "--config", str(file), "--log-level", "ERROR"], {}


def _pg_tileserv(ground: Ground, port: int) -> tuple[list[str], dict[str, str]]:
    module = "github.com/CrunchyData/pg_tileserv"
    program = _found("pg_tileserv", ground, _build_with_go(module, "v1.0.11", module))
    told = {"TS_HTTPHOST": "127.0.0.1", "TS_HTTPPORT": str(port), "TS_MAXFEATURESPERTILE": "-1"}
    told |= {"TS_DEFAULTBUFFER": str(BUFFER), "TS_DBPOOLMAXCONNS": str(CONNECTIONS)}
    return [program], {"DATABASE_URL": ground.url} | told


def _tipg(ground: Ground, port: int) -> tuple[list[str], dict[str, str]]:
    uv = shutil.which("uv")
    if uv is None:
        raise Missing("uv is not on the PATH")
    words = [uv, "run", "--no-project", "--quiet", "--with", "tipg==1.6.1", "--with", "uvicorn[standard]"]
    serve = ["uvicorn", "tipg.main:app", "--port", str(port), "--workers", str(CORES), "--log-level", "error"]
    told = {
        "DATABASE_URL": _by_host(ground.url), "TIPG_DB_SCHEMAS": json.dumps([SCHEMA]),
        "TIPG_TILE_BUFFER": str(BUFFER),
        "TIPG_MAX_FEATURES_PER_TILE": "10000000", "DB_MAX_CONN_SIZE": str(CONNECTIONS // CORES),
        "TIPG_DB_SPATIAL_EXTENT": "false", "TIPG_DB_DATETIME_EXTENT": "false",
    }  # fmt: skip
    return [*words, *serve], told


def _ours(_: Ground, port: int) -> tuple[list[str], dict[str, str]]:
    program = str(Path(sys.executable).with_name("safetymap"))
    return [program, "serve", "--port", str(port), "--workers", str(OUR_WORKERS)], {}


OURS = Peer("ours", "this checkout", _ours, "/tiles/{layer}/{z}/{x}/{y}.mvt")
PEERS = (
    Peer("Martin", "1.14.0", _martin, "/{layer}/{z}/{x}/{y}"),
    Peer("tegola", "0.21.2", _tegola, "/maps/city/{layer}/{z}/{x}/{y}.pbf"),
    Peer("pg_tileserv", "1.0.11", _pg_tileserv, f"/{SCHEMA}.{{layer}}/{{z}}/{{x}}/{{y}}.pbf"),
    Peer("TiPg", "1.6.1", _tipg, f"/collections/{SCHEMA}.{{layer}}/tiles/WebMercatorQuad/{{z}}/{{x}}/{{y}}"),
)


@contextlib.contextmanager
def running(peer: Peer, ground: Ground, port: int, probe: str) -> Iterator[int]:
    """Run a server while the block runs, and yield its process group; `probe` is a path that it must answer.

    Raises Missing.
    """
    ground.folder.mkdir(parents=True, exist_ok=True)
    words, told = peer.command(ground, port)
    log = ground.folder / f"{peer.name}.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            words, env=os.environ | told, stdout=out, stderr=out, cwd=ground.folder, start_new_session=True
        )
        try:
            _wait(peer, server, f"http://127.0.0.1:{port}{probe}", log)
            yield server.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, 15)
            server.wait()


def _wait(peer: Peer, server: "subprocess.Popen[bytes]", url: str, log: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            urlopen(url).read()
            return
        time.sleep(0.2)
    said = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise Missing(f"{peer.name} does not answer: {' '.join(said)[:200]}")

"""The `safetymap` command: the database, imports, demo cities, derived layers and the service."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from api import (
    analysis_cli,
    backup_cli,
    city_cli,
    connections,
    exporting,
    importing,
    keys_cli,
    mending,
    rotate_cli,
)
from api.access import is_loopback
from api.console import app, out, plain_errors
from api.demo_access import DemoAccess
from api.proxy import networks
from gis import audit, cluster, db, demo_keys, loading, preflight
from gis.errors import BadInput
from gis.migrate import advice, migrate
from gis.settings import settings

__all__ = ["analysis_cli", "app", "backup_cli", "city_cli", "exporting", "importing", "keys_cli", "mending"]
"""The application with all its commands: importing a module of commands registers them."""

db_app = typer.Typer(no_args_is_help=True, help="The private cluster, or the configured database.")
app.add_typer(db_app, name="db")


@db_app.command("up")
@plain_errors
def db_up() -> None:
    """Start the private cluster if none is configured, and bring the store to its newest revision."""
    preflight.check(db.work_engine())
    with db.work_engine().begin() as conn:
        migrate(conn)
        told = advice(conn)
        audit.ensure_key(conn, settings().data_dir)
    rotate_cli.seal_second_factors()
    for line in told:
        out.print(f"advice: {line}", soft_wrap=True, highlight=False)
    out.print("database ready")


@db_app.command("down")
@plain_errors
def db_down() -> None:
    """Stop the private cluster."""
    if settings().database_url:
        out.print("SAFETYMAP_DATABASE_URL is set: that server is not ours to stop")
        return
    out.print("stopped" if cluster.down(settings().data_dir) else "was not running")


@db_app.command("url")
@plain_errors
def db_url() -> None:
    """Print the database's address, with its password, for psql and other tools."""
    sys.stdout.write(db.url().replace("postgresql+psycopg", "postgresql") + "\n")


@db_app.command("migrate")
@plain_errors
def db_migrate() -> None:
    """Bring the store to its newest revision."""
    db_up()


@db_app.command("reset")
@plain_errors
def db_reset(*, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Empty the database: every table of the store is dropped and made anew."""
    if not yes:
        typer.confirm("This deletes everything in the database. Go on?", abort=True)
    with db.work_engine().begin() as conn:
        migrate(conn, "base")
        migrate(conn)
    out.print("database emptied")


def _settle(host: str, *, is_demo: bool) -> None:
    """Bring the store to its newest revision; lay ready a demo's keys, or see to it that none are left."""
    preflight.check(db.work_engine(), writes=False)
    with db.work_engine().begin() as conn:
        if preflight.is_standby(conn):
            audit.ensure_key(conn, settings().data_dir)
            out.print("the database is a standby: it is read only, and nothing protected is given out")
            return
    preflight.check(db.work_engine())
    with db.work_engine().begin() as conn:
        migrate(conn)
        audit.ensure_key(conn, settings().data_dir)
        if not is_demo:
            demo_keys.withdraw(conn)
        elif not loading.is_demo(conn):
            raise BadInput("demo", "the database holds no demo; leave --demo out, or load one: make demo")
        elif not is_loopback(host):
            raise BadInput(
                "host", f"{host} is open to others, and a demo has keys that lie about: use 127.0.0.1"
            )
        else:
            demo_keys.ensure(conn, settings().data_dir)


def _tell_workers(**values: object) -> None:
    """Set settings also for the service's processes, which read them from the environment."""
    for name, value in values.items():
        os.environ[f"SAFETYMAP_{name.upper()}"] = str(value)
    settings.cache_clear()


def keep_modules_apart() -> None:
    """Keep the service's processes, as they start, from taking modules of the folder they are started in."""
    os.environ["PYTHONSAFEPATH"] = "1"
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(one for one in entries if Path(one).is_absolute())


@app.command()
@plain_errors
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; SAFETYMAP_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; SAFETYMAP_PORT.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    *,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Believe this proxy's forwarded headers; SAFETYMAP_TRUSTED_PROXY."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Let the demo's log-ins be opened here.")] = False,
) -> None:
    """Serve the map, its tiles and its questions."""
    host, port = host or settings().host, port or settings().port
    proxies = ",".join(trusted_proxy) if trusted_proxy else settings().trusted_proxy
    if networks(proxies) and demo:
        raise BadInput("demo", "a demo is for this machine alone; leave --demo or --trusted-proxy out")
    _tell_workers(demo_mode=demo, trusted_proxy=proxies)
    _settle(host, is_demo=demo)
    fitting = connections.allow_files()
    if fitting < settings().connections:
        out.print(f"the system lets a process have {fitting} connections; raise its open files (LimitNOFILE)")
    _tell_workers(connections=fitting)
    keep_modules_apart()
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    with DemoAccess(settings().data_dir).begun(address) if demo else nullcontext():
        uvicorn.run(
            "api.main:make_app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            **connections.OPTIONS,
        )


@app.command()
@plain_errors
def demo_link() -> None:
    """Print a link that opens the log-ins of the demo being served in one browser, once."""
    sys.stdout.write(DemoAccess(settings().data_dir).link() + "\n")

"""Everything the environment decides, read in one place."""

from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder: page, migrations and demo data are found from here."""


class Settings(BaseSettings):
    """Settings of one installation; each is the variable `SAFETYMAP_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="SAFETYMAP_", use_attribute_docstrings=True)

    database_url: str | None = None
    """One's own PostGIS (≥ 3.3), `postgresql://…`; unset: the private cluster under `data_dir`."""
    service_database_url: str | None = None
    """The same database as the service's unprivileged login comes in; unset with a database of one's own: the
    role is put on when connecting."""
    data_dir: Path = ROOT / ".data"
    """Where the private cluster, logs and refused rows lie."""
    host: str = "127.0.0.1"
    """Address that the service listens on."""
    port: int = 8000
    """Port that the service listens on."""
    city: Literal["zhuzhou", "chicago"] = "zhuzhou"
    """City that `make demo` loads."""
    size: Literal["small", "city", "full"] = "city"
    """Size of that city."""
    realdata: Path = ROOT.parent / "shared" / "data"
    """Real data for tests and benchmarks; they are skipped where it is absent."""
    demo_mode: bool = False
    """The demo's keys hold and its log-ins can be opened; `safetymap serve --demo` sets it."""
    code_layout: str = "grid"
    """How codes of grids are laid out (gis.codes): a layout's name, or widths such as 6+3+3+3."""
    earliest: date = date(1950, 1, 1)
    """No time of an import lies before it: spreadsheets write 1900 for an empty date."""
    clock_skew_s: float = 300
    """Seconds that another clock may be ahead: such a time is taken as now and told, a later one refused."""
    neck_width_m: float = 2.0
    """A stretch of a grid narrower than this, for ten times as long, is advised against."""
    statement_timeout_ms: int = 15_000
    """Upper bound of any statement the service sends."""
    publication_timeout_ms: int = 60_000
    """Upper bound of a statement of a publication, the wait for another publication or import among them."""
    pool_size: int = 8
    """Database connections of one service process, those for tiles and the listener apart."""
    tile_cache_mb: int = 256
    """Memory that one service process gives to finished tiles."""
    tile_queries: int = 3
    """Tiles that one process cuts at once, each on a connection beside those of `pool_size`."""
    tile_queue: int = 64
    """Tiles that may wait to be cut; beyond it the answer is 503 at once."""
    tile_wait_s: float = 10
    """Longest wait to be cut."""
    tile_timeout_ms: int = 5_000
    """Upper bound of the statement that cuts a tile."""
    rate_per_s: float = 100
    """Requests a second of one address, and of one key, in the long run."""
    rate_burst: float = 2_000
    """Requests at once before that: a page full of tiles, several times."""
    rate_on_loopback: bool = False
    """Count this machine's own requests too, as is done wherever a proxy is trusted."""
    trusted_proxy: str = ""
    """Proxies whose forwarded headers are believed: networks with commas between; else nobody's."""
    connections: int = 2_000
    """Connections of clients to one process; beyond it the one that has idled longest is closed."""
    body_mb: int = 32
    """Largest body of a request."""
    backup_oldest_h: float = 26
    """Hours that the newest backup may be old before readiness and metrics warn of it: a night, and some."""
    log_level: str = "INFO"
    """Least level of the lines that are written: DEBUG, INFO, WARNING, ERROR."""
    second_factor_from: Literal["field", "commander", "planner", "approver"] = "approver"
    """The least role whose rights need a second factor; `field`: every one (等保 level 3)."""
    idle_minutes: Annotated[int, Field(ge=1, le=720)] | None = None
    """A session that nobody uses for so long ends, but for keys made with `--wall`; unset: none ends so."""
    oidc_issuer: str | None = None
    """`iss` of bearer tokens; with `oidc_audience` and `oidc_jwks_url` it turns OIDC on."""
    oidc_audience: str | None = None
    """`aud` of bearer tokens."""
    oidc_jwks_url: str | None = None
    """Where the issuer's public keys lie."""
    oidc_typ: str = "at+jwt"
    """`typ` in the header of access tokens (RFC 9068); `JWT` where the issuer writes that on all tokens."""
    oidc_longest_s: Annotated[int, Field(ge=1)] = 3600
    """A token that lives longer than this, from `iat` to `exp`, is refused: it cannot be called back."""


@lru_cache
def settings() -> Settings:
    """Return the settings of this process, read once.

    Raises pydantic's ValidationError naming the variable when a value is not of its kind.
    """
    return Settings()

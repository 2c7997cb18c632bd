"""The OpenAPI document against the service: generated requests find no error and no undocumented status."""

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance
from sqlalchemy.engine import Engine

from api import access
from api.main import make_app
from gis.access import Principal
from tests import town

SHORT, LONG = 10, 20_000
PHASES = (Phase.explicit, Phase.generate)


@pytest.fixture(scope="module")
def app(engine: Engine, service_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The service over the drawn town, asked by an admin."""
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T1a")
        town.add_incidents(conn, batch, [town.at(1, 1)] * 30)
        town.add_responders(conn, batch, {"near": town.at(1, 1)})
    made = make_app(lambda: service_engine, tmp_path_factory.mktemp("data"))
    made.dependency_overrides[access.who] = lambda: Principal("admin", full_role="admin", may_export=True)
    return made


def _fuzz(operation: schemathesis.APIOperation, cases: int) -> int:
    """Send generated requests to one operation, and return how many."""
    sent = 0

    @seed(3)
    @settings(
        max_examples=cases, deadline=None, phases=PHASES, derandomize=False, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def run(case: schemathesis.Case) -> None:
        nonlocal sent
        sent += 1
        case.call_and_validate(checks=[not_a_server_error, status_code_conformance])

    run()
    return sent


def _operations() -> list[str]:
    return [
        f"{method.upper()} {path}"
        for path, found in make_app().openapi()["paths"].items()
        for method, told in found.items()
        if not told.get("x-stream")  # has no end that could be waited for: tests/test_events.py
    ]


def _find(app: FastAPI, label: str) -> schemathesis.APIOperation:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    return next(one for one in (each.ok() for each in schema.get_all_operations()) if one.label == label)


@pytest.mark.parametrize("operation", _operations())
def test_generated_requests_are_answered_as_documented(app: FastAPI, operation: str) -> None:
    assert _fuzz(_find(app, operation), SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("operation", _operations())
def test_twenty_thousand_requests_are_answered_as_documented(app: FastAPI, operation: str) -> None:
    each = LONG // len(_operations()) + 1
    assert _fuzz(_find(app, operation), each)

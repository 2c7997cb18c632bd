"""An empty store: every question and the readiness name what is lacking, in the order of bringing it."""

from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from gis import city
from tests import town
from tests.test_own_city import OURS


def test_every_question_names_what_is_lacking(engine: Engine, client: TestClient) -> None:
    def told(path: str, status: int) -> str:
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        return str(answer.json()["detail"])

    searches = ("/grids/search?q=a", "/grids/suggest?q=a")
    questions = ("/city", "/grids/at?lon=113.1&lat=27.8", *searches, "/tiles/grids/5/26/13.mvt")
    assert all("safetymap city set" in told(path, 404) for path in questions)
    assert all(lack in told("/health/ready", 503) for lack in (city.UNSET, city.NO_GRIDS, city.NO_DEFAULT))
    with engine.begin() as conn:
        city.set_city(conn, OURS)
    assert told("/health/ready", 503) == f"{city.NO_GRIDS}; {city.NO_DEFAULT}"
    assert all(told(path, 404) == city.NO_GRIDS for path in questions[:4])
    with engine.begin() as conn:
        town.add_grids(conn)
    assert client.get("/health/ready").json()["status"] == "ready"
    assert client.get("/city").json()["languages"] == ["zh", "en"]

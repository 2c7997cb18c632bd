"""Somebody at the planner's page: asks the service, and opens plans."""

from typing import Any

from playwright.sync_api import BrowserContext, Page

from gis.access import NewKey
from tests.browsing import DRAWN, sign_in, until


class Person:
    """Somebody with a session: asks the service, and opens plans on the page."""

    def __init__(self, context: BrowserContext, address: str, key: NewKey) -> None:
        self.context, self.address = context, address
        self.headers = {"X-CSRF-Token": sign_in(context, address, key)["csrf"]}

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the service answers to a request below /plans that it takes."""
        answer = self.context.request.post(f"{self.address}/plans{path}", data=body, headers=self.headers)
        assert answer.status in {200, 201}, answer.text()
        return dict(answer.json())

    def get(self, path: str) -> dict[str, Any]:
        """What the service answers below /plans."""
        return dict(self.context.request.get(f"{self.address}/plans{path}").json())

    def plan(self, *steps: dict[str, Any], scope: str = "T") -> int:
        """A draft with steps."""
        made = int(self.post("", {"scope": scope, "title": "t"})["id"])
        for step in steps:
            self.post(f"/{made}/steps", step)
        return made

    def open(self, plan: int) -> Page:
        """The page on a plan, once it is weighed."""
        page = self.context.new_page()
        page.goto(f"{self.address}/planner#plan={plan}")
        until(page, f"{DRAWN} && window.safetymap.open.impact && window.safetymap.open.table")
        return page

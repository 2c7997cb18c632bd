"""What requests that move a draft say: a plan to begin, a step, and where the plan is believed to stand."""

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.codes import Code, Flag, Line, Real, Whole
from gis import plans
from gis.plan_features import Json

StepId = Annotated[Whole, Field(ge=1, lt=2**53)]


class NewPlan(BaseModel):
    """A draft to begin."""

    model_config = ConfigDict(extra="forbid")

    scope: Code
    title: Annotated[Line, Field(min_length=1, max_length=200)]
    effective_on: date | None = None
    scheme: Annotated[str | None, Field(max_length=80)] = None


class Step(BaseModel):
    """A step of redrawing, with the parameters of its `op`; `head`: where the plan is believed to stand."""

    model_config = ConfigDict(extra="forbid")

    op: Annotated[str, Field(max_length=20)]
    head: StepId | None = None
    code: Code | None = None
    codes: Annotated[list[Code] | None, Field(max_length=2000)] = None
    into: Code | Annotated[list[Code], Field(max_length=200)] | None = None
    line: Json | None = None
    area: Json | None = None
    building_ids: Annotated[list[StepId] | None, Field(max_length=2000)] = None
    to: Code | list[Any] | None = None
    at: list[Real] | None = None
    edge: list[list[Real]] | None = None
    parent: Code | None = None
    name: Annotated[Line | None, Field(max_length=200)] = None
    names: Annotated[list[Annotated[Line, Field(max_length=200)]] | None, Field(max_length=200)] = None
    reach_m: Annotated[Real | None, Field(gt=0, le=1000, allow_inf_nan=False)] = None
    confirm_pieces: Flag | Annotated[Whole, Field(ge=1, le=10_000)] | None = None


class Back(BaseModel):
    """Where the plan is believed to stand: `head`, null for its base; without it, wherever it is."""

    model_config = ConfigDict(extra="forbid")

    head: StepId | None = None


class Again(Back):
    """Which step to do again, without one the newest; `head`: where the plan is believed to stand."""

    step: StepId | None = None


def believed(body: Step | Back | None) -> int | None:
    """Return where the plan is believed to stand by whoever asks, `plans.ANYWHERE` where they do not say."""
    return body.head if body and "head" in body.model_fields_set else plans.ANYWHERE

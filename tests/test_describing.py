"""The page of fields equals the kinds."""

from gis.importing import describing
from gis.settings import ROOT


def test_the_page_of_fields_is_that_of_the_kinds() -> None:
    assert (ROOT / "docs/fields.md").read_text("utf-8") == describing.markdown()

"""The categories that a situation has rows of, and which incidents belong to which."""

from sqlalchemy.engine import Connection

from gis.city import category_tree
from layers.view import View

ALL = ""
"""The code under which all categories together are told."""


def parents_of(conn: Connection) -> dict[str, str | None]:
    """Return each category's parent."""
    return {str(row["code"]): str(row["parent"]) if row["parent"] else None for row in category_tree(conn)}


def shown_rows(tree: dict[str, str | None], view: View, *, fine: bool) -> list[str]:
    """Return the categories that have rows, ALL first."""
    if view.categories is None:
        return [ALL, *(code for code, parent in tree.items() if fine or parent is None)]
    asked = [code for code in tree if code in view.categories]
    top = next(code for code in asked if tree[code] not in view.categories)
    return [top, *(code for code in asked if code != top and (fine or tree[code] == top))]


def is_in(tree: dict[str, str | None], code: str, row: str) -> bool:
    """Say whether a category belongs to the row of another, or of ALL."""
    above: str | None = code
    while above is not None and above != row:
        above = tree[above]
    return row in {ALL, above}

"""A restored folder lies beside the data directory, which moves away as the other comes in force."""

from pathlib import Path
from typing import Any, cast

import pytest

from gis.backup import restore, swap
from gis.errors import BadInput

INSIDE = (".", "restored", "a/b", "before-1400", "../data/restored")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    (made / "pg").mkdir(parents=True)
    return made


@pytest.mark.parametrize("inside", INSIDE)
def test_nothing_is_restored_into_what_is_in_force(data_dir: Path, inside: str) -> None:
    untouched: Any = object()
    with pytest.raises(BadInput, match=r"--into: .* lies inside"):
        restore.restore(cast("Any", untouched), data_dir / inside, None, data_dir)
    assert [path.name for path in data_dir.iterdir()] == ["pg"]


@pytest.mark.parametrize("inside", INSIDE)
def test_nothing_inside_is_put_in_force(data_dir: Path, inside: str) -> None:
    new = (data_dir / inside).resolve()
    new.mkdir(parents=True, exist_ok=True)
    swap.mark(new, {"faults": []})
    before = sorted(data_dir.rglob("*"))
    with pytest.raises(BadInput, match=r"NEW: .* lies inside"):
        swap.swap(data_dir, new)
    assert sorted(data_dir.rglob("*")) == before, "nothing has moved"

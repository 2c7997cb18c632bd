"""Streets whose names differ by a sign: another word in Vietnamese, and everywhere the exact one decides."""

from datetime import date

import pytest
from sqlalchemy.engine import Connection

from gis.addresses.match import find
from gis.importing.gazetteer import Gazetteer
from gis.network.ranges import Found
from tests import town
from tests.addressed import HERE, THERE, add_street, metres, place, prepare

WORDS = [
    ("Phố Hàng Bạc", ["Phố Hàng Bác", "Phố Hàng Bắc", "Hàng Bác", "P. Hàng Bác"]),
    ("Phố Hàng Mã", ["Phố Hàng Má", "Phố Hàng Mả", "Phố Hạng Mã"]),
    ("Đường Lê Lợi", ["Đường Lê Lọi", "Đường Lê Lội", "Đường Lệ Lợi", "Đ. Lê Lọi"]),
    ("Đường Hai Bà Trưng", ["Đường Hai Ba Trưng", "Đường Hai Bá Trưng"]),
    ("Lǜyuán Lù", ["Lũyuán Lù", "Lǜyuàn Lù", "Lüyuán Lù"]),
    ("Ọ̀nà Ìbàdàn", ["Ọ̀nà Ìbadàn", "Ọnà Ìbàdàn"]),
]
"""Streets, and names of others that are no spelling of theirs."""
LEFT_OUT = [
    ("Phố Hàng Bạc", ["Pho Hang Bac", "PHO HANG BAC", "phố hàng bạc"]),
    ("Đường Lê Lợi", ["Duong Le Loi", "ĐƯỜNG LÊ LỢI", "Đường Lê Lợi"]),
    ("Đường Hòa Bình", ["Đường Hoà Bình", "Duong Hoa Binh"]),
    ("Phố Thụy Khuê", ["Phố Thuỵ Khuê"]),
    ("Pho Hang Than", ["Phố Hàng Thân", "Pho Hang Than"]),
    ("Avenida José Martí", ["Avenida Jose Martí", "Avenida Jose Marti", "Avenida José Marti"]),
    ("Ulica Đorđevića", ["Ulica Dordevica", "Ulica Đordevića"]),
    ("Calle Perú", ["Calle Perù"]),
]
"""Streets, and other spellings of their own names."""
TWINS = [
    ["Phố Hàng Than", "Phố Hàng Thân", "Phố Hàng Thán"], ["Rue Mâle", "Rue Male"],
    ["Kadı Sokak", "Kadi Sokak"], ["Schönweg", "Schonweg"], ["Rua do Avô", "Rua do Avó"],
]  # fmt: skip


@pytest.fixture
def store(conn: Connection) -> Connection:
    return prepare(conn)


def _placed(store: Connection, texts: list[str]) -> dict[str, Found | str]:
    return Gazetteer(store).find(texts, date(2024, 5, 1))


@pytest.mark.parametrize("is_registered", [False, True])
@pytest.mark.parametrize(("street", "others"), WORDS)
def test_another_sign_is_another_street(
    store: Connection, street: str, others: list[str], is_registered: bool
) -> None:
    batch = add_street(store, street)
    if is_registered:
        town.add_building(store, batch, f"{street} 15", town.at(0.55, 0.5))
    texts = [text for name in others for text in (f"{name} 15", f"15 {name}")]
    assert {text: place(found) for text, found in _placed(store, texts).items()} == dict.fromkeys(texts)
    assert isinstance(_placed(store, [f"{street} 15"])[f"{street} 15"], Found)
    for text in texts:
        assert [one for one in find(store, text, 3).matches if one.score > 0.8] == [], text
    assert find(store, f"{street} 15", 3).matches


@pytest.mark.parametrize(("street", "spellings"), LEFT_OUT)
def test_signs_may_be_left_out(store: Connection, street: str, spellings: list[str]) -> None:
    add_street(store, street)
    texts = [f"{name} 15" for name in spellings]
    found = _placed(store, texts)
    assert all(isinstance(found[text], Found) for text in texts), found


@pytest.mark.parametrize("is_registered", [False, True])
@pytest.mark.parametrize("streets", TWINS)
def test_the_one_written_exactly_so_is_meant(
    store: Connection, streets: list[str], is_registered: bool
) -> None:
    at = dict(zip(streets, [HERE, THERE, town.at(1.2, 3.5)], strict=False))
    for street, begin in at.items():
        batch = add_street(store, street, begin)
        if is_registered:
            town.add_building(store, batch, f"{street} 1", begin)
    found = _placed(store, [f"{street} 1" for street in streets])
    for street, begin in at.items():
        there = place(found[f"{street} 1"])
        assert there, found
        assert metres(there, begin) < 60, street


def test_without_any_sign_it_may_be_each(store: Connection) -> None:
    for street, begin in zip(TWINS[0], [HERE, THERE, town.at(1.2, 3.5)], strict=True):
        add_street(store, street, begin)
    assert "several places" in str(_placed(store, ["Pho Hang Than 1"])["Pho Hang Than 1"])


@pytest.mark.parametrize(
    "pair", [("Őrs utca", "Örs utca"), ("Kadı Sokak", "Kadi Sokak"), ("Rue Mâle", "Rue Male")]
)
def test_a_house_registered_on_the_other_is_not_meant(store: Connection, pair: tuple[str, str]) -> None:
    one, other = pair
    add_street(store, one, HERE)
    batch = add_street(store, other, THERE)
    town.add_building(store, batch, f"{other} 31", THERE)
    texts = [f"{one} 31", f"{one}, 31", f"31 {one}", f"{one} 31, Town"]
    for text, found in _placed(store, texts).items():
        there = place(found)
        assert there is None or metres(there, HERE) < 100, (text, found)
    assert place(_placed(store, texts[:1])[texts[0]]), "its own street has that number"
    for text in (f"{one} 31", f"31 {one}", one):
        first, *others = find(store, text, 5).matches
        assert one in first.address, text
        assert all(match.score < first.score for match in others if other in match.address), text


@pytest.mark.parametrize("street", ["Rue Mâle", "Őrs utca", "Kadı Sokak"])
def test_a_house_registered_without_signs_is_on_its_only_street(store: Connection, street: str) -> None:
    batch = add_street(store, street)
    bare = street.translate(str.maketrans("âŐı", "aOi"))
    town.add_building(store, batch, f"{bare} 31", town.at(0.52, 0.5))
    assert isinstance(found := _placed(store, [f"{street} 31"])[f"{street} 31"], Found)
    assert found.by == "address"

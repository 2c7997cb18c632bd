"""Static files: named by the hash of what they hold, compressed, kept for good, checked where unnamed."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import static
from gis.settings import ROOT

PAGES = ("/", "/planner", "/docs")
BROWSER = {"Accept": "text/html", "Accept-Encoding": "gzip, deflate, br, zstd"}


def _named(client: TestClient, page: str) -> list[str]:
    """Addresses of static files that a page names, each followed into the modules that it imports."""
    waiting = re.findall(r'(?:href|src)="(/(?:app|vendor)/[^"#]+)', client.get(page, headers=BROWSER).text)
    found: list[str] = []
    while waiting:
        address = waiting.pop()
        if address in found:
            continue
        found.append(address)
        if address.endswith(".js") and address.startswith("/app/"):
            text = client.get(address).text
            folder = address.rpartition("/")[0]
            waiting += [f"{folder}/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
            waiting += re.findall(r'import\("([^"]+)"\)', text)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_all_that_a_page_names_is_hashed_packed_and_kept_for_good(client: TestClient, page: str) -> None:
    addresses = _named(client, page)
    assert len(addresses) >= 3
    for address in addresses:
        root, name = re.fullmatch(r"((?:/app|/vendor/[\w-]+))/[0-9a-f]{12}(/.+)", address).groups()  # type: ignore[union-attr]
        plain = client.get(address, headers={"Accept-Encoding": "identity"})
        assert plain.headers["cache-control"] == "public, max-age=31536000, immutable", address
        assert "cookie" not in plain.headers["vary"].lower(), "a new session must not empty the cache"
        for encoding in ("br", "gzip"):
            packed = client.get(address, headers={"Accept-Encoding": encoding})
            assert packed.headers["content-encoding"] == encoding
            assert packed.content == plain.content, "the client decodes what it gets"
            assert int(packed.headers["content-length"]) < len(plain.content) or len(plain.content) < 300
        unnamed = client.get(root + name)
        assert unnamed.headers["cache-control"] == "no-cache"


def test_head_tells_what_get_would(client: TestClient) -> None:
    for path in ("/app/main.js", static.href("/app/main.js"), static.href("/vendor/h3-js/h3-js.es.js")):
        head, get = client.head(path, headers=BROWSER), client.get(path, headers=BROWSER)
        assert head.content == b""
        for name in ("content-length", "etag", "cache-control", "content-encoding", "content-type"):
            assert head.headers[name] == get.headers[name]


def test_what_a_browser_has_is_not_sent_again(client: TestClient) -> None:
    for path in ("/", "/planner", "/app/main.js"):
        first = client.get(path, headers=BROWSER)
        again = client.get(path, headers=BROWSER | {"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = client.get(path, headers=BROWSER | {"Accept-Encoding": "gzip"})
        assert other.headers["etag"] != first.headers["etag"], "one tag for each encoding"


def test_another_content_has_another_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(static, "FOLDERS", {"/vendor/h3-js": tmp_path})
    names = []
    for file, text in (("a.js", "1"), ("a.js", "2"), ("b.js", "2")):
        (tmp_path / file).write_text(text)
        static.version.cache_clear()
        names.append(static.version("/vendor/h3-js"))
    static.version.cache_clear()
    assert len(set(names)) == 3


def test_an_old_name_is_gone(client: TestClient) -> None:
    """A page from before an update must not mix old scripts with new ones."""
    assert client.get("/app/0123456789ab/main.js").status_code == 404


def test_modules_import_without_a_circle() -> None:
    """Whoever reads one file of the page reads only files below it."""
    folder = ROOT / "web" / "app"
    left = {
        file.name: set(re.findall(r'from "\./([^"]+)"', file.read_text("utf-8")))
        for file in folder.glob("*.js")
    }
    while free := {name for name, imports in left.items() if not imports & left.keys()}:
        left = {name: imports for name, imports in left.items() if name not in free}
    assert left == {}

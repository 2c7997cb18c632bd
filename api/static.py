"""Static files: compressed once, named by the hash of their folder so that browsers keep them for good."""

from collections.abc import Mapping
from functools import cache, lru_cache
from hashlib import sha256
from mimetypes import guess_type
from os import PathLike, stat_result
from pathlib import Path
from types import MappingProxyType

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from gis.settings import ROOT
from tiles.encoding import ENCODERS, IDENTITY, choose

WEB = ROOT / "web"
_VENDOR = {
    "/vendor/maplibre-gl": WEB / "node_modules" / "maplibre-gl" / "dist",
    "/vendor/noto-sans-sc": WEB / "node_modules" / "@fontsource-variable" / "noto-sans-sc",
    "/vendor/swagger-ui": WEB / "node_modules" / "swagger-ui-dist",
    "/vendor/h3-js": WEB / "node_modules" / "h3-js" / "dist" / "browser",
}
_APP = "/app"
FOLDERS: Mapping[str, Path] = MappingProxyType({_APP: WEB / "app", **_VENDOR})
"""What the pages load, by its unhashed path; only these folders are ever served."""
FOR_GOOD = "public, max-age=31536000, immutable"
_CHECK_FIRST = "no-cache"
_PACKED = ("br", "gzip")
_TEXTS = frozenset({".css", ".html", ".js", ".json", ".mjs", ".svg"})
_DIGITS = 12
"""Hexadecimal digits of a hash in a name: 48 bits."""


@cache
def version(root: str) -> str:
    """Return the hash of a folder's content as it is served; source maps are left out, browsers load none."""
    content = sha256()
    for file in sorted(FOLDERS[root].rglob("*")):
        if file.is_file() and file.suffix != ".map":
            content.update(file.relative_to(FOLDERS[root]).as_posix().encode())
            content.update(sha256(_as_served(root, file)).digest())
    return content.hexdigest()[:_DIGITS]


def href(path: str) -> str:
    """Return the hashed address of a file or folder: /vendor/h3-js → /vendor/h3-js/0123456789ab."""
    root = next(root for root in FOLDERS if path == root or path.startswith(f"{root}/"))
    return f"{root}/{version(root)}{path[len(root) :]}"


def with_hashes(text: bytes, roots: Mapping[str, Path] = FOLDERS) -> bytes:
    """Return a page's text with the addresses of static files replaced by hashed ones."""
    for root in roots:
        text = text.replace(f'"{root}/'.encode(), f'"{href(root)}/'.encode())
    return text


def _as_served(root: str, file: Path) -> bytes:
    """Return a file's bytes; our own scripts name the packages by their hashes, and each other relatively."""
    body = file.read_bytes()
    return with_hashes(body, _VENDOR) if root == _APP and file.suffix == ".js" else body


@lru_cache(maxsize=512)
def _packed(root: str, file: Path, changed_ns: int, encoding: str) -> bytes:  # noqa: ARG001 - part of the key
    return ENCODERS[encoding](_as_served(root, file))


def answer(scope: Scope, body: bytes, encoding: str, media_type: str | None, cached: str) -> Response:
    """Return a body with what caches need to know; 304 where the client has it, no body to HEAD."""
    etag = f'"{sha256(body).hexdigest()[:_DIGITS]}-{encoding}"'
    headers = {"Cache-Control": cached, "ETag": etag, "Vary": "Accept-Encoding"}
    headers["Content-Length"] = str(len(body))
    if encoding != IDENTITY:
        headers["Content-Encoding"] = encoding
    if etag in Headers(scope=scope).get("if-none-match", ""):
        return NotModifiedResponse(Headers(headers))
    return Response(b"" if scope["method"] == "HEAD" else body, headers=headers, media_type=media_type)


def wanted(scope: Scope) -> str:
    """Return the encoding to answer a text in."""
    return choose(Headers(scope=scope).get("accept-encoding", ""), _PACKED)


class Folder(StaticFiles):
    """A folder under `root`/HASH/… for good and under `root`/… to be checked before each use."""

    def __init__(self, root: str) -> None:
        super().__init__(directory=FOLDERS[root], check_dir=False)
        self.root = root

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer a file by its name in the folder, with or without the folder's hash before it."""
        first, _, rest = path.partition("/")
        named = bool(rest) and first == version(self.root)
        response = await super().get_response(rest if named else path, scope)
        response.headers["Cache-Control"] = FOR_GOOD if named else _CHECK_FIRST
        return response

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Answer a file: texts packed once per process, all else as it lies there."""
        file = Path(full_path)
        if file.suffix not in _TEXTS:
            return super().file_response(full_path, stat_result, scope, status_code)
        encoding = wanted(scope)
        body = _packed(self.root, file, stat_result.st_mtime_ns, encoding)
        return answer(scope, body, encoding, guess_type(file.name)[0], _CHECK_FIRST)


@cache
def page(name: str) -> bytes:
    """Return an HTML file of web/ that names static files by their hashes."""
    return with_hashes((WEB / name).read_bytes())


@lru_cache(maxsize=64)
def _packed_page(name: str, encoding: str) -> bytes:
    return ENCODERS[encoding](page(name))


def page_response(scope: Scope, name: str) -> Response:
    """Answer an HTML file of web/; it is checked before each use, what it names is kept for good."""
    encoding = wanted(scope)
    response = answer(scope, _packed_page(name, encoding), encoding, "text/html", _CHECK_FIRST)
    response.headers.add_vary_header("Accept")
    return response

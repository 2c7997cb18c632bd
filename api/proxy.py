"""Who asks through a trusted proxy: address, scheme and host as it forwards them; nobody else is believed."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gis.errors import BadInput

log = structlog.get_logger()

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
FORWARDING = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
)
"""Headers by which a proxy tells that it passes on what another sent."""


def networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list such as `10.0.0.5,192.168.1.0/24`; none for an empty one.

    Raises BadInput for what is no network, or is everybody: then anyone could say whose request it is.
    """
    return tuple(_network(part.strip()) for part in text.split(",") if part.strip())


def _network(text: str) -> Network:
    try:
        found = ip_network(text)
    except ValueError as error:
        raise BadInput(
            "trusted_proxy", f"{text!r} is no network ({error}); write 127.0.0.1 or 10.0.0.0/24"
        ) from error
    if found.prefixlen == 0:
        raise BadInput("trusted_proxy", f"{text} is everybody; name the proxy's own address")
    return found


def address(text: str) -> Address | None:
    """Return the address that a text names, with or without a port; None when it names none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


@lru_cache(maxsize=4096)
def asker(host: str) -> str:
    """Return what an address is counted as: itself, of IPv6 the network of 64 bits that one household has."""
    found = address(host)
    if isinstance(found, IPv6Address) and not found.is_loopback:
        return str(ip_network((found, 64), strict=False))
    return host


class Proxied:
    """ASGI middleware: replaces client, scheme and host of what a trusted proxy passes on."""

    def __init__(self, app: ASGIApp, trusted: tuple[Network, ...]) -> None:
        self.app, self._trusted = app, trusted
        self._is_trusted = lru_cache(4096)(self._find)
        self._is_warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as of whoever sent it to the proxy."""
        if scope["type"] == "http" and scope["client"] and self._is_trusted(scope["client"][0]):
            scope = self._unwrapped(scope, Headers(scope=scope))
        await self.app(scope, receive, send)

    def _find(self, host: str) -> bool:
        found = address(host)
        return found is not None and any(found in network for network in self._trusted)

    def _unwrapped(self, scope: Scope, sent: Headers) -> Scope:
        """Return the scope with what the proxy says in place of what it is; of a list, the last counts."""
        new = dict(scope)
        client = self._client(sent.getlist("x-forwarded-for"))
        if client is not None:
            new["client"] = (client, 0)
        elif not self._is_warned:
            self._is_warned = True
            log.warning("proxy", proxy=scope["client"][0], fault="sends no X-Forwarded-For with an address")
        if (scheme := _last(sent.getlist("x-forwarded-proto")).lower()) in {"http", "https"}:
            new["scheme"] = scheme
        if host := _last(sent.getlist("x-forwarded-host")):
            others = [one for one in scope["headers"] if one[0] != b"host"]
            new["headers"] = [(b"host", host.encode("latin-1")), *others]
        return new

    def _client(self, headers: list[str]) -> str | None:
        """Return the rightmost address that is no trusted proxy's; what stands left of it anyone may write.

        Where all are trusted, or what comes next is no address, the leftmost trusted one: it asks itself.
        """
        found = None
        for text in reversed(",".join(headers).split(",")):
            read = address(text)
            if read is None:
                break
            found = str(read)
            if not self._is_trusted(found):
                break
        return found


def _last(headers: list[str]) -> str:
    return ",".join(headers).rpartition(",")[2].strip()

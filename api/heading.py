"""HEAD wherever GET answers: the same status and headers, no body (RFC 9110, 9.3.2)."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """ASGI middleware: HEAD is answered as GET without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer HEAD, or pass the request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        # A scope of its own: the server reads its scope's method to tell whether a body is due.
        asked = {**scope, "method": "GET"}
        try:
            await self._answer(asked, receive, _Bodiless(send))
        finally:
            if "route" in asked:
                scope["route"] = asked["route"]  # the journal names it

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Bodiless") -> None:
        """Run the application until it is done, or until it goes on with a body that nobody gets."""
        work = asyncio.ensure_future(self.app(scope, receive, answer.send))
        more = asyncio.ensure_future(answer.has_more.wait())
        try:
            await asyncio.wait({work, more}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            more.cancel()
            work.cancel()
        if not answer.has_more.is_set():
            await work


class _Bodiless:
    """Sends an answer without its body."""

    def __init__(self, send: Send) -> None:
        self._send, self.has_more = send, asyncio.Event()

    async def send(self, message: Message) -> None:
        """Send a message; the first part of a body as its empty end. Whoever has more waits to be stopped."""
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        await self._send({"type": "http.response.body"})
        if message.get("more_body"):
            self.has_more.set()
            await asyncio.Event().wait()

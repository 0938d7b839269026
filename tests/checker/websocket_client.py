"""A client that uses the WebSocket, with the library `websockets`."""

import asyncio
import json

from tests.checker.checker_client import (
    OPEN_TIMEOUT_S,
    SILENCE_TIMEOUT_S,
    CheckerClient,
    ConnectionLostError,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

_V1 = "headrace.v1"
_CLOSE_TIMEOUT_S = 1.0


class WebSocketClient(CheckerClient):
    """Uses the subprotocol `headrace.v1`, and sends the token as a second subprotocol."""

    transport = "websocket"
    _connection: ClientConnection | None = None

    async def hang_up(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _receive_once(self) -> None:
        resumed = self.log.opened
        connecting = connect(
            f"ws://127.0.0.1:{self._port}/v1/connect{self._query}",
            subprotocols=[Subprotocol(_V1), Subprotocol(f"headrace.token.{self._token}")],
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            ping_interval=None,  # the server's ping is under test
            compression=None,
            max_size=None,
            proxy=None,
        )
        try:
            connection = self._connection = await connecting
        except WebSocketException as error:
            raise ConnectionLostError(f"the WebSocket handshake failed: {error}") from None
        try:
            await self._receive_frames(connection, resumed=resumed)
        except TimeoutError:
            self.log.counts["dead connections"] += 1
            raise
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                self._add_close(closed.rcvd.code)
        finally:
            self._connection = None
            connection.transport.abort()

    async def _receive_frames(self, connection: ClientConnection, *, resumed: bool) -> None:
        opened = False
        while True:
            async with asyncio.timeout(SILENCE_TIMEOUT_S):
                text = await connection.recv()
            frame = json.loads(text)
            if not isinstance(frame, dict):
                raise ValueError(f"a frame {text!r}")
            if "type" in frame:
                opened |= frame["type"] == "open"
                self._add_control(frame, resumed=resumed)
            elif not opened:
                raise ValueError("a message before the open")
            else:
                self._add_message(frame.get("id"), frame.get("data"), frame.get("group"))

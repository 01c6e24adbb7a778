"""The broker's HTTP API: JSON calls that are tried again, transfer channels, and server-sent events that resume."""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

MEANING = {
    "unreachable": "no connection to the broker",
    "cut_short": "the other side, or the connection, broke off before everything had come",
    "unauthorized": "the broker does not accept this key",
    "not_found": "the broker knows no such job",
    "invalid_state": "the job has ended, or is no longer this worker's",
    "transfer_not_found": "the broker knows no such channel",
    "transfer_expired": "the other side did not come in time",
    "transfer_closed": "the channel has been used already",
    "transfer_in_use": "somebody else is at this end of the channel",
    "transfer_failed": "the other side broke off",
}

TRIES = 8
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 10.0
# The broker writes something to every stream of events at least every 15 s; one that is silent for so long is dead.
SILENCE = 60.0
# Longer than a claim waits for a job.
CALL_TIMEOUT = 60.0
# Longer than the broker lets a transfer stand still.
TRANSFER_TIMEOUT = 330.0
CHUNK = 256 * 1024


class NfrxError(Exception):
    """What the broker answered when it was not what was asked for.

    `status` is 0 when there was no answer, or only part of one; `code` is the broker's own word, such as
    `transfer_expired`.
    """

    def __init__(self, status: int, code: str, message: str = "") -> None:
        said = f": {message}" if message else ""
        super().__init__(MEANING.get(code, f"the broker answered {status} {code}{said}"))
        self.status = status
        self.code = code

    @property
    def passing(self) -> bool:
        """True when the same call may succeed in a while."""
        return self.status in (0, 429) or (self.status >= 502 and self.code != "transfer_failed")


@dataclass
class Incoming:
    """Bytes that come through a channel."""

    content_type: str
    chunks: AsyncIterator[bytes]
    """Can be read once. Raises an NfrxError when the bytes end too early."""

    async def read(self, limit: int) -> bytes:
        """Everything of it, in memory; raises when that is more than `limit` bytes."""
        parts = bytearray()
        async for chunk in self.chunks:
            parts += chunk
            if len(parts) > limit:
                raise ValueError(f"more than {limit} bytes")
        return bytes(parts)


@dataclass
class ServerEvent:
    event: str
    data: Any


class Nfrx:
    def __init__(self, url: str, key: str | None, on_retry: Callable[[NfrxError], None] = lambda error: None) -> None:
        """`on_retry` is told of each failure that is followed by another try."""
        # Bytes are taken as they come, so nothing on the way may compress them.
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=CALL_TIMEOUT, limits=limits)
        self._on_retry = on_retry

    @classmethod
    def from_environment(cls, *keys: str) -> "Nfrx":
        """The broker at NFRX_URL, with the key in the first of these environment variables that is set."""
        key = next((value for name in keys if (value := os.environ.get(name))), None)
        return cls(os.environ.get("NFRX_URL") or "http://localhost:8080", key, _tell)

    async def __aenter__(self) -> "Nfrx":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, tries: float = TRIES
    ) -> Any:
        """A call with JSON both ways; None for 204. What may succeed in a while is tried again."""
        attempt = 1
        while True:
            try:
                async with self._request(method, path, json=body, headers=headers) as response:
                    return None if response.status_code == 204 else json.loads(await _body(response))
            except NfrxError as error:
                if not error.passing or attempt == tries:
                    raise
                self._on_retry(error)
            await _backoff(attempt)
            attempt += 1

    async def create_channel(self) -> dict[str, str]:
        """A new channel, for one writer and one reader."""
        return await self.call("POST", "/api/transfer")

    async def send(self, channel: str, body: "bytes | FileBody", content_type: str) -> None:
        """Writes to a channel; returns when the reader has all of it.

        A channel serves once, so this is never tried again.
        """
        headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
        content = body if isinstance(body, bytes) else body.chunks()
        path = _channel_path(channel)
        async with self._request("POST", path, content=content, headers=headers, timeout=TRANSFER_TIMEOUT):
            pass

    @asynccontextmanager
    async def receive(self, channel: str) -> AsyncIterator[Incoming]:
        """Reads from a channel; enters when the writer has come."""
        async with self._request("GET", _channel_path(channel), timeout=TRANSFER_TIMEOUT) as response:
            yield Incoming(response.headers.get("content-type", "application/octet-stream"), _chunks(response))

    async def events(self, path: str, params: dict[str, str] | None = None) -> AsyncIterator[ServerEvent]:
        """The events of a stream, until the broker has no more.

        Connects again when it is cut, and goes on after the last event that came.
        """
        last_id = None
        attempt = 1
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
            try:
                async with self._request("GET", path, params=params, headers=headers, timeout=SILENCE) as response:
                    if response.status_code == 204:
                        return
                    async for event in _events(_chunks(response)):
                        attempt = 1
                        last_id = event.get("id", last_id)
                        yield ServerEvent(event.get("event", "message"), json.loads(event["data"]))
            except NfrxError as error:
                if not error.passing:
                    raise
                self._on_retry(error)
            await _backoff(attempt)
            attempt += 1

    @asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        request = self._http.build_request(method, path, **options)
        try:
            response = await self._http.send(request, stream=True)
        except httpx.TransportError as error:
            raise NfrxError(0, "unreachable") from error
        try:
            if not response.is_success:
                raise NfrxError(response.status_code, *_error_words(response.status_code, await _body(response)))
            yield response
        finally:
            await response.aclose()


class FileBody:
    """A file as a body: read while it is sent, and its size is known."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._size = os.stat(path).st_size

    def __len__(self) -> int:
        return self._size

    async def chunks(self) -> AsyncIterator[bytes]:
        with open(self._path, "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


def _tell(error: NfrxError) -> None:
    print(f"{error}; trying again", file=sys.stderr, flush=True)


async def _backoff(attempt: int) -> None:
    """Waits longer after every attempt in vain; half of it by chance, so that many clients do not come back at once."""
    longest = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
    await asyncio.sleep(longest * random.uniform(0.5, 1))


def _channel_path(channel: str) -> str:
    """Jobs name a channel by its path, people by its id."""
    return channel if channel.startswith("/") else f"/api/transfer/{quote(channel, safe='')}"


def _error_words(status: int, body: bytes) -> tuple[str, str]:
    """The broker's errors are `{"error": "<word>"}`, maybe with a message; a proxy in between may answer anything."""
    if status in (401, 403):
        return "unauthorized", ""
    try:
        said = json.loads(body)
        return str(said["error"]), str(said.get("message", ""))
    except (ValueError, LookupError, TypeError):
        return "error", ""


async def _body(response: httpx.Response) -> bytes:
    return b"".join([chunk async for chunk in _chunks(response)])


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body of an answer. Whatever breaks the reading of it is an NfrxError."""
    # The broker streams without Content-Length; this header names the length when the writer had told it.
    announced = response.headers.get("x-transfer-length")
    length = 0
    try:
        async for chunk in response.aiter_raw():
            length += len(chunk)
            yield chunk
    except httpx.TransportError as error:
        raise NfrxError(0, "cut_short") from error
    if announced is not None and int(announced) != length:
        raise NfrxError(0, "cut_short")


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, str]]:
    """Server-sent events as the HTML standard defines them, without `retry`.

    httpx would also end lines at characters that may stand in JSON, such as U+2028, so lines are found here.
    """
    rest = b""
    fields: dict[str, str] = {}
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in (ended.removesuffix(b"\r") for ended in lines):
            if not line:
                if "data" in fields:
                    yield fields
                fields = {}
                continue
            name, _, value = line.decode().partition(":")
            value = value.removeprefix(" ")
            if name == "data" and "data" in fields:
                value = f"{fields['data']}\n{value}"
            if name in ("event", "id", "data"):
                fields[name] = value

"""A job from its client's side: created, then followed until it has ended."""

import asyncio
import uuid
from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import quote

from .api import FileBody, Incoming, Nfrx, NfrxError

ENDED = {"completed", "failed", "canceled"}


class Exchange(ABC):
    """What a client does when the worker is ready to take a payload, and to give a result."""

    @abstractmethod
    async def payload(self, channel: dict[str, Any]) -> tuple[bytes | FileBody, str]:
        """The payload and its content type."""

    @abstractmethod
    async def result(self, channel: dict[str, Any], incoming: Incoming) -> None:
        """Takes the result."""

    def status(self, job: dict[str, Any]) -> None:
        """Told of every change of the job."""

    def trouble(self, channel: dict[str, Any], error: NfrxError) -> None:
        """Told of a transfer that failed. The worker may ask for it again, so the job goes on."""


async def create_job(nfrx: Nfrx, job: dict[str, Any]) -> str:
    """The new job's id. The key makes sure that a call that is tried again creates no second job."""
    answer = await nfrx.call("POST", "/api/jobs", job, {"Idempotency-Key": str(uuid.uuid4())})
    return answer["job_id"]


async def get_job(nfrx: Nfrx, job_id: str) -> dict[str, Any]:
    return await nfrx.call("GET", _path(job_id))


async def cancel_job(nfrx: Nfrx, job_id: str) -> str:
    """The status that the job has now: another one than `canceled` when it had ended before."""
    return (await nfrx.call("POST", f"{_path(job_id)}/cancel"))["status"]


async def follow_job(nfrx: Nfrx, job_id: str, exchange: Exchange) -> dict[str, Any]:
    """Follows a job to its end, sending and receiving what the worker asks for.

    Raises when a completed job's result did not come, and whatever `exchange` raises; then the job still runs.
    """
    missing: dict[str, NfrxError] = {}
    transfers: dict[str, asyncio.Task[None]] = {}

    async def send(channel: dict[str, Any]) -> None:
        body, content_type = await exchange.payload(channel)
        try:
            await nfrx.send(channel["url"], body, content_type)
        except NfrxError as error:
            exchange.trouble(channel, error)

    async def receive(channel: dict[str, Any]) -> None:
        try:
            async with nfrx.receive(channel["url"]) as incoming:
                await exchange.result(channel, incoming)
            missing.pop(channel["key"], None)
        except NfrxError as error:
            missing[channel["key"]] = error
            exchange.trouble(channel, error)

    async def follow() -> dict[str, Any]:
        # Transfers run beside the events, so that a cancellation is seen while bytes flow. What one of them raises ends
        # the group, and with it all the others.
        async with asyncio.TaskGroup() as group:

            def start(channel: dict[str, Any], transfer: Any) -> None:
                if channel["channel_id"] not in transfers:
                    transfers[channel["channel_id"]] = group.create_task(transfer(channel))

            async for event in nfrx.events(f"{_path(job_id)}/events"):
                match event.event:
                    case "payload":
                        start(event.data, send)
                    case "result":
                        start(event.data, receive)
                    case "status":
                        job = event.data
                        exchange.status(job)
                        # The status names every channel too: what was missed while the connection was down is here.
                        for channel in (job.get("payloads") or {}).values():
                            start(channel, send)
                        for channel in (job.get("results") or {}).values():
                            start(channel, receive)
                        if job["status"] in ENDED:
                            if job["status"] != "completed":
                                for task in transfers.values():
                                    task.cancel()
                            return job
        raise AssertionError("the broker ended the events before the job has ended")

    try:
        job = await follow()
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    if job["status"] == "completed":
        for error in missing.values():
            raise error
    return job


def _path(job_id: str) -> str:
    return f"/api/jobs/{quote(job_id, safe='')}"

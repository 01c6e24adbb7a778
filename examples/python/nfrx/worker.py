"""A worker: claims jobs, keeps their leases, takes their payloads, gives their results."""

import asyncio
import math
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from .api import FileBody, Incoming, Nfrx, NfrxError

T = TypeVar("T")

# How often a transfer that broke is begun anew, on a channel of its own.
TRANSFER_TRIES = 3
POLL_SECONDS = 30


@dataclass
class WorkerOptions:
    types: list[str]
    """Types of jobs to take; all when empty."""
    worker_id: str | None
    worker_group: str | None
    lease: int
    """Seconds without a sign of life after which the broker gives the job to somebody else."""
    concurrency: int
    """Jobs at the same time, when polling."""
    stream: bool
    """Take jobs from a stream of events, one after the other, instead of asking for each."""
    once: bool
    """End after one job."""
    log: Callable[[str], None]


class JobFailed(Exception):
    """Raised by a handler to end a job as failed, with a word for programs and a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Task:
    """One claimed job."""

    def __init__(self, nfrx: Nfrx, claim: dict[str, Any]) -> None:
        self._nfrx = nfrx
        self.claim = claim

    async def take_payload(
        self, use: Callable[[Incoming], Awaitable[T]], properties: dict[str, Any] | None = None
    ) -> T:
        """Asks the client for the payload and hands it to `use`; again when the transfer breaks."""

        async def transfer(channel: dict[str, Any]) -> T:
            async with self._nfrx.receive(channel["reader_url"]) as incoming:
                return await use(incoming)

        return await self._on_channel("payload", properties, transfer)

    async def give_result(
        self, body: bytes | FileBody, content_type: str, properties: dict[str, Any] | None = None
    ) -> None:
        """Gives the client the result; again when the transfer breaks."""
        await self._on_channel(
            "result", properties, lambda channel: self._nfrx.send(channel["writer_url"], body, content_type)
        )

    async def report(self, state: str, **more: Any) -> None:
        """Says what the job is doing, or how it ended."""
        await self._post("status", {"state": state, **more})

    async def heartbeat(self) -> None:
        await self._post("heartbeat", {})

    async def _on_channel(
        self, end: str, properties: dict[str, Any] | None, transfer: Callable[[dict[str, Any]], Awaitable[T]]
    ) -> T:
        attempt = 1
        while True:
            channel = await self._post(end, {"properties": properties} if properties else {})
            try:
                return await transfer(channel)
            except NfrxError:
                if attempt == TRANSFER_TRIES:
                    raise
            attempt += 1

    async def _post(self, what: str, body: dict[str, Any]) -> Any:
        # The claim's id says which claim a call belongs to. The 0.9 series gives none.
        proof = {"claim_id": self.claim["claim_id"]} if "claim_id" in self.claim else {}
        path = f"/api/jobs/{quote(self.claim['job_id'], safe='')}/{what}"
        return await self._nfrx.call("POST", path, {**proof, **body})


Handler = Callable[[Task], Awaitable[None]]


async def work(nfrx: Nfrx, options: WorkerOptions, handle: Handler) -> None:
    """Claims jobs and hands them to `handle`. When it is cancelled, jobs under way are finished first."""
    claimer = {"worker_id": options.worker_id or f"{socket.gethostname()}-{os.getpid()}"}
    if options.worker_group:
        claimer["worker_group"] = options.worker_group
    jobs: set[asyncio.Task[None]] = set()

    def start(claim: dict[str, Any]) -> asyncio.Task[None]:
        job = asyncio.create_task(_run(nfrx, claim, handle, options))
        jobs.add(job)
        job.add_done_callback(jobs.discard)
        return job

    async def poll() -> None:
        body = {"types": options.types, "max_wait_seconds": POLL_SECONDS, "lease_seconds": options.lease, **claimer}
        while True:
            # A worker outlives its broker's absence, however long that is.
            claim = await nfrx.call("POST", "/api/jobs/claim", body, tries=math.inf)
            if claim is None:
                continue
            await asyncio.shield(start(claim))
            if options.once:
                return

    async def listen() -> None:
        params = {**claimer, "lease_seconds": str(options.lease)}
        if options.types:
            params["types"] = ",".join(options.types)
        async for event in nfrx.events("/api/jobs/stream", params):
            if event.event == "job":
                job = start(event.data)
                if options.once:
                    # A stream that ends before its worker has called about a job gives the job back.
                    await asyncio.shield(job)
                    return

    try:
        if options.stream:
            await listen()
        else:
            await asyncio.gather(*(poll() for _ in range(1 if options.once else options.concurrency)))
    finally:
        if jobs:
            await asyncio.wait(jobs)


async def _run(nfrx: Nfrx, claim: dict[str, Any], handle: Handler, options: WorkerOptions) -> None:
    """One job from its claim to its end. Never raises."""
    job_id = claim["job_id"]
    task = Task(nfrx, claim)
    options.log(f"{job_id}: claimed ({claim['type']})")

    async def complete() -> None:
        await handle(task)
        await task.report("completed")

    job = asyncio.create_task(complete())
    heart = asyncio.create_task(_keep(task, options.lease))
    try:
        await asyncio.wait({job, heart}, return_when=asyncio.FIRST_COMPLETED)
        # The heart stops early only when the job is lost.
        lost = heart.result() if heart.done() else None
        if lost is not None:
            job.cancel()
            await asyncio.wait({job})
            raise lost
        await job
        options.log(f"{job_id}: completed")
    except Exception as error:
        if _is_lost(error):
            options.log(f"{job_id}: given up: {error}")
            return
        options.log(f"{job_id}: failed: {error}")
        failure = {"code": _failure_code(error), "message": str(error)}
        try:
            await task.report("failed", error=failure)
        except NfrxError as late:
            options.log(f"{job_id}: {late}")
    finally:
        heart.cancel()
        job.cancel()


async def _keep(task: Task, lease: int) -> NfrxError | None:
    """Keeps the lease. Returns when the job is lost, or when the broker (of the 0.9 series) knows no leases."""
    while True:
        await asyncio.sleep(lease / 3)
        try:
            await task.heartbeat()
        except NfrxError as error:
            if _is_lost(error):
                return error
            if error.status == 404:
                return None


def _is_lost(error: BaseException) -> bool:
    """True when the job was canceled or belongs to somebody else by now."""
    return isinstance(error, NfrxError) and error.code in ("invalid_state", "not_found")


def _failure_code(error: Exception) -> str:
    if isinstance(error, JobFailed):
        return error.code
    return "transfer_failed" if isinstance(error, NfrxError) else "worker_error"

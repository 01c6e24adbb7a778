"""What the command lines have in common."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable
from typing import Any

from .api import Nfrx, NfrxError
from .client import Exchange, cancel_job, create_job, follow_job
from .cms import CmsError
from .worker import WorkerOptions

BINARY = "application/octet-stream"
CLIENT_EPILOG = """Exit code: 0 when the job was completed, 1 when it failed or was canceled.
Environment: NFRX_URL (default: http://localhost:8080) and API_KEY."""
WORKER_EPILOG = "Environment: NFRX_URL (default: http://localhost:8080) and CLIENT_KEY."
WORKER_DESCRIPTION = """Takes jobs and does each by running COMMAND: the payload is its stdin, its stdout is the result.
It finds the job in JOB_ID, JOB_TYPE and JOB_METADATA. A command that fails makes the job fail."""


def parser(description: str, epilog: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_job_options(to: argparse.ArgumentParser) -> None:
    to.add_argument("type", metavar="TYPE", help="the job's type")
    to.add_argument("--payload", metavar="FILE", help="what to send (default: nothing, an empty payload)")
    to.add_argument("--content-type", metavar="TYPE", default=BINARY, help=f"what the payload is (default: {BINARY})")
    to.add_argument("--result", metavar="FILE", help="where to write the result (default: stdout)")
    to.add_argument(
        "--metadata", metavar="JSON", type=_json_object, help="an object for the worker; the broker can read it"
    )
    to.add_argument("--worker-id", metavar="ID", help="only for this worker")
    to.add_argument("--worker-group", metavar="NAME", help="only for workers of this group")
    to.add_argument("--priority", metavar="N", type=int, choices=range(10), help="0 to 9; higher goes first")


def add_worker_options(to: argparse.ArgumentParser) -> None:
    to.add_argument("--type", action="append", default=[], help="take only jobs of this type; may be repeated")
    to.add_argument("--worker-id", metavar="ID", help="this worker's name (default: host name and process id)")
    to.add_argument("--worker-group", metavar="NAME", help="this worker's group")
    to.add_argument("--concurrency", metavar="N", type=_positive, default=1, help="jobs at the same time (default: 1)")
    to.add_argument("--stream", action="store_true", help="take jobs from an event stream, as many as come")
    to.add_argument(
        "--lease",
        metavar="SECONDS",
        type=_positive,
        default=60,
        help="after so long without a sign of life the job goes to another worker (default: 60)",
    )
    to.add_argument("--once", action="store_true", help="end after one job")
    to.add_argument("--content-type", metavar="TYPE", default=BINARY, help=f"what the results are (default: {BINARY})")
    to.add_argument("command", metavar="COMMAND", nargs="+", help="what to run, after --")


def add_secure_options(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--peer",
        metavar="FINGERPRINT",
        action="append",
        default=[],
        help="accept only the other side with this certificate (SHA-256, hexadecimal); may be repeated. Without it any "
        "certificate is accepted, and the broker could put its own in its place.",
    )
    to.add_argument(
        "--identity",
        metavar="FILE",
        help="this side's key and certificate in PEM, made when missing (default: new ones for every run)",
    )


def new_job(args: argparse.Namespace) -> dict[str, Any]:
    names = ("type", "metadata", "worker_id", "worker_group", "priority")
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def worker_options(args: argparse.Namespace) -> WorkerOptions:
    return WorkerOptions(
        types=args.type,
        worker_id=args.worker_id,
        worker_group=args.worker_group,
        lease=args.lease,
        concurrency=args.concurrency,
        stream=args.stream,
        once=args.once,
        log=note,
    )


class Said(Exchange):
    """An exchange that says how it goes."""

    def status(self, job: dict[str, Any]) -> None:
        progress = job.get("progress")
        note(f"{job['status']} {json.dumps(progress)}" if progress else job["status"])

    def trouble(self, channel: dict[str, Any], error: NfrxError) -> None:
        note(f"{channel['key']}: {error}")


async def see_through(nfrx: Nfrx, job_id: str, exchange: Exchange) -> int:
    """Follows a job and says how it ended; cancels it at Ctrl-C, or when something breaks on this side."""
    try:
        job = await follow_job(nfrx, job_id, exchange)
    except BaseException:
        try:
            note(f"canceling: now {await cancel_job(nfrx, job_id)}")
        except NfrxError as late:
            note(f"canceling: {late}")
        raise
    if error := job.get("error"):
        note(f"{error['code']}: {error['message']}")
    return 0 if job["status"] == "completed" else 1


async def start_job(nfrx: Nfrx, job: dict[str, Any]) -> str:
    job_id = await create_job(nfrx, job)
    note(f"job {job_id}")
    return job_id


def note(message: str) -> None:
    """For people; stdout is for results."""
    print(message, file=sys.stderr, flush=True)


def main(run: Awaitable[int | None]) -> None:
    """Runs a program to its exit code. Ctrl-C and SIGTERM cancel it."""

    async def until_signal() -> int | None:
        task = asyncio.ensure_future(run)
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, task.cancel)
        return await task

    try:
        sys.exit(asyncio.run(until_signal()))
    except asyncio.CancelledError:
        sys.exit(130)
    except (NfrxError, CmsError, OSError, ValueError) as error:
        note(f"error: {error}")
        sys.exit(1)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError
    return value

#!/usr/bin/env python3
"""A worker that does jobs with a command."""

import argparse
import os
from tempfile import TemporaryDirectory

from nfrx.api import FileBody, Incoming, Nfrx
from nfrx.cli import WORKER_DESCRIPTION, WORKER_EPILOG, add_worker_options, main, parser, worker_options
from nfrx.filter import run_filter
from nfrx.worker import Task, work


async def run(args: argparse.Namespace) -> None:
    async def handle(task: Task) -> None:
        with TemporaryDirectory(prefix="nfrx-work-") as folder:
            output = os.path.join(folder, "output")

            async def use(payload: Incoming) -> None:
                await task.report("running")
                await run_filter(args.command, payload.chunks, output, task)

            await task.take_payload(use)
            await task.give_result(FileBody(output), args.content_type)

    async with Nfrx.from_environment("CLIENT_KEY") as nfrx:
        await work(nfrx, worker_options(args), handle)


if __name__ == "__main__":
    top = parser(WORKER_DESCRIPTION, WORKER_EPILOG)
    add_worker_options(top)
    main(run(top.parse_args()))

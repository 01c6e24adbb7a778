#!/usr/bin/env python3
"""A worker that takes only signed and encrypted payloads; doc/secure-jobs.md tells how."""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from nfrx.api import Incoming, Nfrx
from nfrx.cli import (
    WORKER_DESCRIPTION,
    WORKER_EPILOG,
    add_secure_options,
    add_worker_options,
    main,
    note,
    parser,
    worker_options,
)
from nfrx.cms import CmsError, Identity
from nfrx.files import one_chunk
from nfrx.filter import run_filter
from nfrx.secure import MEDIA_TYPE, context, load_identity, make_offer, open_from, seal_for, take_offer
from nfrx.worker import JobFailed, Task, work


async def exchange(task: Task, identity: Identity, folder: str, args: argparse.Namespace) -> None:
    peer, nonce = take_offer(task.claim.get("metadata"), args.peer)
    offer = make_offer(identity)

    async def use(incoming: Incoming) -> bytes:
        purpose = context(task.claim, "payload", "payload", offer["nonce"])
        _, body = await open_from(identity, peer, purpose, incoming)
        return body

    payload = await task.take_payload(use, {"secure_transfer": offer})
    await task.report("running")
    output = os.path.join(folder, "output")
    await run_filter(args.command, one_chunk(payload), output, task)
    purpose = context(task.claim, "result", "result", nonce)
    sealed = seal_for(identity, peer, purpose, args.content_type, Path(output).read_bytes())
    await task.give_result(sealed, MEDIA_TYPE, {"secure_transfer": offer})


async def run(args: argparse.Namespace) -> None:
    identity = load_identity(args.identity)
    note(f"worker certificate {identity.fingerprint}")

    async def handle(task: Task) -> None:
        try:
            with TemporaryDirectory(prefix="nfrx-work-") as folder:
                await exchange(task, identity, folder, args)
        except CmsError as error:
            # The broker may know that something was refused, and why; nothing of what was in it.
            raise JobFailed("secure_transfer_refused", str(error)) from error

    async with Nfrx.from_environment("CLIENT_KEY") as nfrx:
        await work(nfrx, worker_options(args), handle)


if __name__ == "__main__":
    top = parser(WORKER_DESCRIPTION, WORKER_EPILOG)
    add_worker_options(top)
    add_secure_options(top)
    main(run(top.parse_args()))

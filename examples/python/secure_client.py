#!/usr/bin/env python3
"""A jobs client whose payload and result are signed and encrypted; doc/secure-jobs.md tells how."""

import argparse
from pathlib import Path
from typing import Any

from nfrx.api import Incoming, Nfrx
from nfrx.cli import (
    CLIENT_EPILOG,
    Said,
    add_job_options,
    add_secure_options,
    main,
    new_job,
    note,
    parser,
    see_through,
    start_job,
)
from nfrx.cms import CmsError, Identity
from nfrx.files import one_chunk, save_to
from nfrx.secure import MEDIA_TYPE, context, load_identity, make_offer, open_from, seal_for, take_offer

DESCRIPTION = """Like "jobs_client run", but the payload is encrypted for the worker's certificate and the result for
this client's, and both are signed. The job's type and metadata are not protected."""


class Sealed(Said):
    def __init__(self, job_id: str, identity: Identity, nonce: str, body: bytes, args: argparse.Namespace) -> None:
        self._claim = {"job_id": job_id, "type": args.type}
        self._identity = identity
        self._nonce = nonce
        self._body = body
        self._args = args
        # The workers that were sent the payload: only they can know the result.
        self._workers: set[str] = set()
        self.received = False

    async def payload(self, channel: dict[str, Any]) -> tuple[bytes, str]:
        peer, nonce = take_offer(channel.get("properties"), self._args.peer)
        self._workers.add(peer.fingerprint)
        note(f"worker certificate {peer.fingerprint}{'' if self._args.peer else ', not pinned'}")
        purpose = context(self._claim, "payload", channel["key"], nonce)
        sealed = seal_for(self._identity, peer, purpose, self._args.content_type, self._body)
        note(f"sending {len(sealed)} bytes")
        return sealed, MEDIA_TYPE

    async def result(self, channel: dict[str, Any], incoming: Incoming) -> None:
        peer, _ = take_offer(channel.get("properties"), self._args.peer)
        if peer.fingerprint not in self._workers:
            raise CmsError("the result comes from a worker that had no payload")
        purpose = context(self._claim, "result", channel["key"], self._nonce)
        _, result = await open_from(self._identity, peer, purpose, incoming)
        await save_to(self._args.result, one_chunk(result))
        self.received = True


async def run(args: argparse.Namespace) -> int:
    identity = load_identity(args.identity)
    note(f"client certificate {identity.fingerprint}")
    offer = make_offer(identity)
    job = new_job(args)
    job["metadata"] = {**job.get("metadata", {}), "secure_transfer": offer}
    body = Path(args.payload).read_bytes() if args.payload else b""
    async with Nfrx.from_environment("API_KEY") as nfrx:
        job_id = await start_job(nfrx, job)
        exchange = Sealed(job_id, identity, offer["nonce"], body, args)
        code = await see_through(nfrx, job_id, exchange)
    # That a job is completed is only the broker's word.
    if code == 0 and not exchange.received:
        raise CmsError("the job is completed, but there was no result")
    return code


if __name__ == "__main__":
    top = parser(DESCRIPTION, CLIENT_EPILOG)
    add_job_options(top)
    add_secure_options(top)
    main(run(top.parse_args()))

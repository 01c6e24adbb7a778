#!/usr/bin/env python3
"""Creates a job and sees it through: sends its payload, receives its result."""

import argparse
import json
from typing import Any

from nfrx.api import FileBody, Incoming, Nfrx
from nfrx.cli import CLIENT_EPILOG, Said, add_job_options, main, new_job, note, parser, see_through, start_job
from nfrx.client import cancel_job, get_job
from nfrx.files import save_to


def arguments() -> argparse.Namespace:
    top = parser(__doc__, CLIENT_EPILOG)
    verbs = top.add_subparsers(dest="verb", required=True)
    text = "Create a job, send the payload when a worker asks for it, write the result. Ctrl-C cancels the job."
    add_job_options(verbs.add_parser("run", help="create a job and see it through", description=text))
    verbs.add_parser("show", help="print a job").add_argument("job_id", metavar="JOB_ID")
    verbs.add_parser("cancel", help="cancel a job").add_argument("job_id", metavar="JOB_ID")
    return top.parse_args()


class Files(Said):
    def __init__(self, body: bytes | FileBody, args: argparse.Namespace) -> None:
        self._body = body
        self._args = args

    async def payload(self, channel: dict[str, Any]) -> tuple[bytes | FileBody, str]:
        note(f"sending {len(self._body)} bytes")
        return self._body, self._args.content_type

    async def result(self, channel: dict[str, Any], incoming: Incoming) -> None:
        await save_to(self._args.result, incoming.chunks)


async def run(args: argparse.Namespace) -> int:
    async with Nfrx.from_environment("API_KEY") as nfrx:
        match args.verb:
            case "show":
                print(json.dumps(await get_job(nfrx, args.job_id), indent=2))
                return 0
            case "cancel":
                print(await cancel_job(nfrx, args.job_id))
                return 0
            case _:
                body = FileBody(args.payload) if args.payload else b""
                return await see_through(nfrx, await start_job(nfrx, new_job(args)), Files(body, args))


if __name__ == "__main__":
    main(run(arguments()))

#!/usr/bin/env python3
"""Sends a file through a transfer channel, or receives one."""

import argparse

from nfrx.api import FileBody, Nfrx
from nfrx.cli import BINARY, main, note, parser
from nfrx.files import save_to

DESCRIPTION = """Moves one file from a sender to a receiver through the broker, which keeps nothing of it. Either side
may come first: it prints the id of a new channel, which the other side names with --channel within a minute."""
EPILOG = "Environment: NFRX_URL (default: http://localhost:8080), and API_KEY or CLIENT_KEY."


def arguments() -> argparse.Namespace:
    top = parser(DESCRIPTION, EPILOG)
    verbs = top.add_subparsers(dest="verb", required=True)
    send = verbs.add_parser("send", help="send FILE")
    send.add_argument("file", metavar="FILE")
    send.add_argument("--content-type", metavar="TYPE", default=BINARY, help=f"what it is (default: {BINARY})")
    receive = verbs.add_parser("receive", help="receive a file")
    receive.add_argument("--output", metavar="FILE", help="where to write it (default: stdout)")
    for verb in (send, receive):
        verb.add_argument("--channel", metavar="ID", help="use this channel instead of a new one")
    return top.parse_args()


async def run(args: argparse.Namespace) -> None:
    async with Nfrx.from_environment("API_KEY", "CLIENT_KEY") as nfrx:
        body = FileBody(args.file) if args.verb == "send" else None
        channel = args.channel
        if channel is None:
            created = await nfrx.create_channel()
            channel = created["channel_id"]
            note(f"channel {channel} (until {created['expires_at']})")
        if body is not None:
            await nfrx.send(channel, body, args.content_type)
            note(f"sent {len(body)} bytes")
        else:
            async with nfrx.receive(channel) as incoming:
                await save_to(args.output, incoming.chunks)
            note(f"received {incoming.content_type}")


if __name__ == "__main__":
    main(run(arguments()))

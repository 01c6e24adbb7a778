"""The work of the example workers: any command that reads its stdin and writes its stdout."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

from .worker import JobFailed, Task


async def run_filter(command: list[str], chunks: AsyncIterator[bytes], output: str, task: Task) -> None:
    """Runs a command with `chunks` on its stdin and its stdout going to the file `output`.

    The command learns of its job from JOB_ID, JOB_TYPE and JOB_METADATA; it does not get the broker's keys.
    """
    env = {name: value for name, value in os.environ.items() if name not in ("API_KEY", "CLIENT_KEY")}
    env["JOB_ID"] = task.claim["job_id"]
    env["JOB_TYPE"] = task.claim["type"]
    env["JOB_METADATA"] = json.dumps(task.claim.get("metadata") or {})
    with open(output, "wb") as file:
        try:
            child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=file, env=env)
        except OSError as error:
            raise JobFailed("work_failed", f"{command[0]} could not be started: {error.strerror}") from error
        try:
            assert child.stdin is not None  # it is a pipe
            await _feed(child.stdin, chunks)
            code = await child.wait()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    if code != 0:
        raise JobFailed("work_failed", f"{command[0]} ended with {code}")


async def _feed(stdin: asyncio.StreamWriter, chunks: AsyncIterator[bytes]) -> None:
    """Writes as fast as the command reads. It may stop reading: the rest then goes nowhere."""
    listens = True
    async for chunk in chunks:
        if listens:
            try:
                stdin.write(chunk)
                await stdin.drain()
            except ConnectionError:
                listens = False
    stdin.close()

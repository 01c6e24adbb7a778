"""Results on disk."""

import os
import sys

from .api import Incoming


async def save_to(path: str | None, incoming: Incoming) -> None:
    """Writes what comes to a file, or to stdout. A file is there under its name only when it is whole."""
    if path is None:
        async for chunk in incoming.chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    partial = f"{path}.part"
    try:
        with open(partial, "wb") as file:
            async for chunk in incoming.chunks:
                file.write(chunk)
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise

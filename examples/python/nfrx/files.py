"""Results on disk."""

import os
import sys
from collections.abc import AsyncIterator


async def save_to(path: str | None, chunks: AsyncIterator[bytes]) -> None:
    """Writes what comes to a file, or to stdout. A file is there under its name only when it is whole."""
    if path is None:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    partial = f"{path}.part"
    try:
        with open(partial, "wb") as file:
            async for chunk in chunks:
                file.write(chunk)
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


async def one_chunk(data: bytes) -> AsyncIterator[bytes]:
    """Bytes that are there already, as chunks."""
    yield data

"""Docling's own client: client.py <url> <key> <file>...; what became of the files as a JSON list on standard output."""

import json
import sys

from docling.service_client import ChunkerKind, DoclingServiceClient

url, key, *files = sys.argv[1:]
# Tasks are followed over the WebSocket alone.
with DoclingServiceClient(url, api_key=key, ws_fallback_to_poll=False) as client:
    made = []
    for file in files:
        result = client.convert(file)
        chunked = client.chunk(file, chunker=ChunkerKind.HIERARCHICAL)
        made.append(
            {
                "status": result.status.value,
                "document": {
                    "filename": result.input.file.name,
                    "md_content": result.document.export_to_markdown(),
                    "json_content": result.document.export_to_dict(),
                },
                "chunks": [{"text": chunk.text, "headings": chunk.headings} for chunk in chunked.chunks],
            }
        )
json.dump(made, sys.stdout)

"""The official MCP SDK for Python against a server: client.py <url> <mode>. Prints what it got as JSON."""

import asyncio
import json
import sys

import mcp

url, mode = sys.argv[1:3]


async def run():
    async with mcp.Client(url, mode=mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        simple = await client.call_tool("test_simple_text", {})
        failed = await client.call_tool("test_error_handling", {})
        try:
            await client.call_tool("no_such_tool", {})
            unknown = None
        except mcp.MCPError as error:
            unknown = error.error.code
        print(
            json.dumps(
                {
                    "tools": tools,
                    "text": simple.content[0].text,
                    "failed": [failed.is_error, failed.content[0].text],
                    "unknown": unknown,
                }
            )
        )


asyncio.run(run())

from fastmcp import FastMCP

mcp = FastMCP("weather")


@mcp.tool
def forecast(city: str) -> str:
    """Tomorrow's weather in a city."""
    return f"Tomorrow it will be sunny in {city}."


if __name__ == "__main__":
    mcp.run(transport="http")

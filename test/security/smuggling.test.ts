// A broker behind a proxy must see the end of each request where the proxy sees it, or refuse the request.
import { expect, test } from "bun:test";
import { Processes } from "../kit/processes.ts";
import { API_KEY } from "../kit/world.ts";
import { Conversation } from "./conversation.ts";
import { SMUGGLED, shapesOf } from "./shapes.ts";

const shapes = shapesOf(`Bearer ${API_KEY}`);

test("there are at least 35 shapes", () => {
  expect(new Set(shapes.map(({ name }) => name)).size).toBeGreaterThanOrEqual(35);
});

test("an ambiguous request is refused, and nothing in its body is read as a request", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const backend = await processes.backend();
  await processes.agent(broker, backend);
  const wrong: unknown[] = [];
  for (const { name, bytes, responses, statuses } of shapes) {
    const talk = await Conversation.open(broker.port);
    talk.write(bytes);
    talk.end();
    await talk.over();
    const got = talk.statuses;
    if (got.length > responses || got.includes(404) || !statuses.includes(got[0] ?? 0))
      wrong.push({ name, got, text: talk.text.slice(0, 120) });
  }
  expect(wrong).toEqual([]);
  const served = broker.lines.filter(line => JSON.stringify(line).includes("smuggled"));
  expect(served).toEqual([]);
  expect(SMUGGLED).toContain("smuggled");
  expect(backend.requests).toHaveLength(0);
  expect((await broker.chat()).status).toBe(200);
  await broker.quiet();
}, 60_000);

// After a start of the broker "not here yet" is not "does not exist".
import { expect, test } from "bun:test";
import { TestClock } from "../kit/time/clock.ts";
import { API_KEY, World } from "../kit/world.ts";

const START_MS = 40_000;
const headers = { authorization: `Bearer ${API_KEY}` };

/** Status, whether to ask again, and the word for it. */
async function told(response: Response): Promise<unknown[]> {
  const { error }: { error?: { code?: string } | string } = JSON.parse(await response.text());
  return [response.status, response.headers.get("retry-after"), typeof error === "string" ? error : error?.code];
}

test("models and workers are 503 until every agent has had the time to come back, then 404", async () => {
  const clock = new TestClock();
  await using world = new World({ clock, broker: { startGraceMs: START_MS } });
  const asked = async (): Promise<unknown[]> =>
    Promise.all([
      world.chat().then(told),
      fetch(`${world.url}/models/test-model`, { headers }).then(told),
      fetch(`${world.origin}/api/llm/id/w/v1/models`, { headers }).then(told),
      fetch(`${world.origin}/api/llm/id/w/v1/chat/completions`, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body: '{"model":"test-model","messages":[]}',
      }).then(told),
    ]);
  const later = [503, "5", "no_worker"];
  expect(await asked()).toEqual([later, later, later, later]);
  clock.advance(START_MS - 1);
  expect(await asked()).toEqual([later, later, later, later]);
  clock.advance(1);
  const never = [404, null, "no_worker"];
  expect(await asked()).toEqual([never, [404, null, "model_not_found"], never, never]);
  expect(await world.leftovers()).toEqual({});
});

test("a task that nobody knows yet is 503, then its worker's own 404", async () => {
  const clock = new TestClock();
  await using world = new World({ module: "docling", clock, broker: { startGraceMs: START_MS } });
  const poll = (): Promise<Response> => fetch(`${world.origin}/api/docling/v1/status/poll/t-1`, { headers });
  expect(await told(await poll())).toEqual([503, "5", "overloaded"]);
  clock.advance(START_MS - 1);
  const { backend } = await world.worker();
  backend.respond = () => Response.json({ detail: "Task not found." }, { status: 404 });
  expect(await told(await poll())).toEqual([503, "5", "overloaded"]);
  clock.advance(1);
  const unknown = await poll();
  expect([unknown.status, await unknown.json()]).toEqual([404, { detail: "Task not found." }]);
  expect(await world.leftovers()).toEqual({});
});

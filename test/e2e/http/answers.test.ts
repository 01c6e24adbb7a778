// What the document says is what the broker does: its examples are sent, and what comes back is held against it.
import { expect, test } from "bun:test";
import { startDemoBackend } from "../../../src/demo/backend.ts";
import { wholeBroker } from "../../kit/broker/whole.ts";
import { ApiDocument, type ApiOperation } from "../../kit/http/api-document.ts";
import { API_KEY, CLIENT_KEY, World } from "../../kit/world.ts";

const KEYS: Readonly<Record<string, string>> = { API_KEY, CLIENT_KEY };

interface Ask {
  /** The segments of the path, by their names. */
  params?: Record<string, string>;
  /** Fields of the body beside or instead of the example's. */
  body?: Record<string, unknown>;
}

/** Sends an operation's own examples, with the key it asks for. */
function ask(origin: string, operation: ApiOperation, { params = {}, body = {} }: Ask = {}): Promise<Response> {
  const { method, path, parameters, requestBody, security } = operation;
  const examples = new Map(parameters.map(({ name, example }) => [name, String(example ?? "x")]));
  const url = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(params[name] ?? examples.get(name) ?? "x"));
  const query = new URLSearchParams();
  for (const { name, example, in: place } of parameters)
    if (place === "query" && example !== undefined) query.set(name, String(example));
  const key = security.flatMap(choice => Object.keys(choice)).find(scheme => KEYS[scheme] !== undefined);
  const example = requestBody?.content["application/json"]?.example;
  const sent = example === undefined ? undefined : JSON.stringify({ ...Object(example), ...body });
  return fetch(`${origin}${url}?${query}`, {
    method,
    redirect: "manual",
    headers: {
      ...(key !== undefined && { authorization: `Bearer ${KEYS[key]}` }),
      ...(sent !== undefined && { "content-type": "application/json" }),
    },
    ...(sent !== undefined && { body: sent }),
  });
}

test("every operation answers as it is documented where nobody serves, with a key and without", async () => {
  const broker = wholeBroker({ apiKey: API_KEY, clientKey: CLIENT_KEY });
  const origin = `http://127.0.0.1:${broker.port}`;
  const api = await ApiDocument.of(origin);
  const complaints: (string | undefined)[] = [];
  for (const operation of api.operations) {
    complaints.push(
      // A claim would wait for a job that never comes.
      await api.complaint(operation, await ask(origin, operation, { body: { max_wait_seconds: 0 } })),
      await api.complaint(operation, await ask(origin, { ...operation, security: [] })),
    );
  }
  expect(complaints.filter(complaint => complaint !== undefined)).toEqual([]);
  expect(complaints.length).toBeGreaterThan(100);
  await broker.stop();
});

test("a job goes its way by the examples", async () => {
  const broker = wholeBroker({ apiKey: API_KEY, clientKey: CLIENT_KEY });
  const origin = `http://127.0.0.1:${broker.port}`;
  const api = await ApiDocument.of(origin);
  const answered = async (place: string, how: Ask = {}): Promise<Record<string, string>> => {
    const operation = api.at(place);
    const response = await ask(origin, operation, how);
    expect([place, response.status, await api.complaint(operation, response.clone())]).toEqual([place, 200, undefined]);
    return Object(await response.json());
  };
  const { job_id = "" } = await answered("POST /api/jobs");
  const params = { id: job_id };
  const { claim_id } = await answered("POST /api/jobs/claim");
  const body = { claim_id };
  await answered("POST /api/jobs/{id}/payload", { params, body });
  await answered("POST /api/jobs/{id}/status", { params, body });
  await answered("POST /api/jobs/{id}/heartbeat", { params, body });
  await answered("POST /api/jobs/{id}/result", { params, body });
  await answered("GET /api/jobs/{id}", { params });
  await answered("GET /api/jobs");
  await answered("POST /api/jobs/{id}/cancel", { params });
  await answered("POST /api/transfer");
  await answered("GET /api/state");
  await broker.stop();
});

test("the demo's backend answers the examples", async () => {
  await using world = new World();
  const demo = startDemoBackend({ wordMs: 0 });
  const agent = await world.agent(demo);
  const api = await ApiDocument.of(world.origin);
  const operations = api.operations.filter(({ path }) =>
    /\/v1\/(?:chat\/completions|responses|embeddings|models(?:\/\{model\})?)$/.test(path),
  );
  for (const operation of operations) {
    const streams = /(?:completions|responses)$/.test(operation.path);
    for (const body of streams ? [{}, { stream: true }] : [{}]) {
      const response = await ask(world.origin, operation, { params: { worker: agent.id }, body });
      expect([operation.place, response.status]).toEqual([operation.place, 200]);
      expect(await api.complaint(operation, response)).toBeUndefined();
    }
  }
  expect(operations).toHaveLength(18);
  await demo.stop();
});

// The configurations of nginx, Caddy and Traefik in doc/deployment.md, with those programs and ours: what the page promises
// of them.
import { describe, expect, test } from "bun:test";
import { bytes, chatStream } from "../kit/backend/backend.ts";
import { AUTHORIZED, chatBody } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";
import { until } from "../kit/time/until.ts";
import { Front, proxies } from "./proxies.ts";

const LIMIT_MS = 60_000;
const missing = (program: string | undefined): boolean => program === undefined && process.env["CI"] !== "true";

/** Spellings of /metrics, as a client may write them. */
const SPELLINGS = [
  ...["/metrics", "/metrics/", "/metrics?x", "/metrics#x", "/metrics;x", "/metrics/.", "/metrics/x/..", "/METRICS"],
  ...[
    "//metrics",
    "///metrics",
    "/./metrics",
    "/x/../metrics",
    "/healthz/../metrics",
    "/metrics//",
    "/1234567/metrics",
  ],
  ...["/%6detrics", "/%6Detric%73", "/%2fmetrics", "/%2e/metrics", "/x/%2e%2e/metrics", "/x%2f..%2fmetrics"],
  ...["/%256detrics", "/metrics%2f", "/metrics%00", "/metrics%20", "/\\metrics", "/x/..\\metrics", "/%5cmetrics"],
  ...["/x/..%5cmetrics", "/metrics\\", "http://127.0.0.1/metrics", "https://127.0.0.1//metrics", "metrics"],
];

for (const proxy of proxies)
  describe.skipIf(missing(proxy.program))(`behind ${proxy.name}`, () => {
    test(
      "an agent connects, and words arrive as they are written",
      async () => {
        await using processes = new Processes();
        await using front = await Front.start(processes, proxy);
        const backend = await processes.backend();
        const words = new Gate();
        backend.respond = chatStream(["one", "two", "three"], { gate: words });
        await processes.agent(front.broker, backend, front.env);
        // Bun sends an answer's head with the first byte of its body.
        words.release();
        const answer = await front.fetch("/api/llm/v1/chat/completions", {
          method: "POST",
          headers: { ...AUTHORIZED, "content-type": "application/json" },
          body: JSON.stringify(chatBody({ stream: true })),
        });
        const reader = answer.body!.getReader();
        const decoder = new TextDecoder();
        let text = "";
        for (const word of ["one", "two", "three"]) {
          expect(text).not.toContain(word);
          if (word !== "one") words.release();
          while (!text.includes(word))
            text += decoder.decode((await until(reader.read(), word)).value, { stream: true });
        }
        await reader.cancel();
      },
      LIMIT_MS,
    );

    test(
      "a transfer passes while it is sent, and a large upload is nobody's but nfrx' to refuse",
      async () => {
        await using processes = new Processes();
        await using front = await Front.start(processes, proxy);
        const created = await front.fetch("/api/transfer", { method: "POST", headers: AUTHORIZED });
        const { channel_id } = (await created.json()) as { channel_id: string };
        const gate = new Gate();
        const source = await processes.backend({ respond: bytes(["first", "second"], {}, 200, gate) });
        const sending = fetch(`${source.origin}/x`).then(({ body }) =>
          front.fetch(`/api/transfer/${channel_id}`, { method: "POST", headers: AUTHORIZED, body }),
        );
        const receiving = front.fetch(`/api/transfer/${channel_id}`, { headers: AUTHORIZED });
        gate.release();
        const reader = (await receiving).body!.getReader();
        expect(new TextDecoder().decode((await until(reader.read(), "the first bytes")).value)).toBe("first");
        gate.open();
        expect(await (await sending).json()).toEqual({ status: "ok" });
        await reader.cancel();

        const backend = await processes.backend();
        backend.respond = (_, { bodyBytes }) => Response.json({ text: `${bodyBytes} bytes` });
        await processes.agent(front.broker, backend, front.env, "asr");
        const form = new FormData();
        form.set("model", "test-model");
        form.set("file", new Blob([new Uint8Array(20_000_000)]), "long.wav");
        const heard = await front.fetch("/api/asr/v1/audio/transcriptions", {
          method: "POST",
          headers: AUTHORIZED,
          body: form,
        });
        expect(await heard.json()).toEqual({ text: expect.stringMatching(/^2000\d{4} bytes$/) });
      },
      LIMIT_MS,
    );

    test(
      "roles from outside do not count",
      async () => {
        await using processes = new Processes();
        await using front = await Front.start(processes, proxy, { API_HTTP_ROLES: "staff" });
        const roles = { "x-user-roles": "staff" };
        expect((await fetch(`${front.broker.url}/models`, { headers: roles })).status).toBe(200);
        expect((await front.fetch("/api/llm/v1/models", { headers: roles })).status).toBe(401);
        expect((await front.fetch("/api/llm/v1/models", { headers: AUTHORIZED })).status).toBe(200);
        expect((await front.fetch("/healthz")).status).toBe(200);
      },
      LIMIT_MS,
    );

    test(
      "no spelling of /metrics shows the metrics",
      async () => {
        await using processes = new Processes();
        // The broker itself would show them to anybody.
        await using front = await Front.start(processes, proxy, { METRICS_OPEN: "true" });
        expect(await (await fetch(`http://127.0.0.1:${front.broker.port}/metrics`)).text()).toContain("# TYPE");
        const shown: string[] = [];
        const broken: string[] = [];
        for (const target of SPELLINGS) {
          for (const host of [undefined, "127.0.0.1:99999", "u@127.0.0.1"]) {
            const answer = await front.raw(target, host);
            if (answer.includes("# TYPE")) shown.push(`${target} ${host ?? ""}`);
            if (host === undefined && !/^HTTP\/1\.1 [34]/.test(answer)) broken.push(`${target} ${answer.slice(0, 40)}`);
          }
        }
        expect({ shown, broken }).toEqual({ shown: [], broken: [] });
      },
      LIMIT_MS,
    );

    test(
      "a name with an encoded slash arrives as it was written",
      async () => {
        await using processes = new Processes();
        await using front = await Front.start(processes, proxy);
        const backend = await processes.backend();
        await processes.agent(front.broker, backend, { ...front.env, MODELS: "" });
        const direct = await fetch(`http://127.0.0.1:${front.broker.port}/api/llm/v1/models/some%2Fmodel`, {
          headers: AUTHORIZED,
        });
        const through = await front.fetch("/api/llm/v1/models/some%2Fmodel", { headers: AUTHORIZED });
        expect([through.status, await through.text()]).toEqual([direct.status, await direct.text()]);
      },
      LIMIT_MS,
    );
  });

// What is sent to a collector, and what is not.
import { describe, expect, test } from "bun:test";
import { createTraceState, SpanKind } from "@opentelemetry/api";
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { OtlpExport, TRACE_BATCH_BYTES, TRACE_FLUSH_MS, TRACE_QUEUE_MAX } from "../../../src/lib/otlp.ts";
import { SPAN_BYTES, SpanWriter } from "../../../src/lib/otlp-json.ts";
import { type Attributes, type Span, SpanAttributes, Tracer } from "../../../src/lib/trace.ts";
import { Collector } from "../../kit/broker/collector.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Gate } from "../../kit/time/gate.ts";
import { eventually } from "../../kit/time/until.ts";
import type { LogLine } from "../../kit/world.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SCOPE = { name: "nfrx", version: "1.2.3" };
const RESOURCE = { "service.name": 'a "b" ☃', pid: 7, 'odd"key': true };

/** Spans that have ended, of every kind there is. */
function spans(): Span[] {
  const clock = new TestClock();
  const ended: Span[] = [];
  const tracer = new Tracer({ clock, ratio: 1, sink: span => ended.push(span) });
  const shared = new SpanAttributes({ "http.route": "/a/:b", whole: 200 });
  const values: Attributes[string][] = [
    0,
    -1,
    3.25,
    2 ** 40,
    true,
    false,
    "",
    "plain",
    'q"\\\n\u0000',
    "☃ \ud83d\ude00",
  ];
  values.push(undefined, "x".repeat(300), "\u007f", ...Array.from({ length: 200 }, (_, n) => `value ${n}`));
  for (const [n, value] of values.entries()) {
    const traceparent = n % 3 === 0 ? `00-${TRACE}-b7ad6b7169203331-01` : null;
    const span = tracer.serve(n % 2 === 0 ? "GET /a/:b" : 'odd "name" ☃', traceparent, n % 6 === 0 ? "k=v" : null);
    if (n % 4 < 2) span.set(shared);
    if (n % 5 > 0) span.set({ value, again: value, n });
    const child = span.child(n % 2 === 0 ? "queue" : "attempt", n % 2 === 0 ? "internal" : "client");
    clock.advance(0.123456 * n);
    child.end(n % 7 === 0 ? "timeout" : undefined);
    clock.advance(1);
    span.end(n % 11 === 0 ? "upstream_error" : undefined);
  }
  return ended;
}

const KINDS = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT };

/** One of our spans as OpenTelemetry's SDK would hold it. */
function readable(span: Span, resource: ReadableSpan["resource"]): ReadableSpan {
  const { parent, context, failure } = span;
  const placeOf = ({ traceId, spanId, flags, state }: Span["context"]) => ({
    traceId,
    spanId,
    traceFlags: flags,
    ...(state !== undefined && { traceState: createTraceState(state) }),
  });
  const attributes: Record<string, string | number | boolean> = {};
  for (const part of span.parts)
    for (const [name, value] of Object.entries(part instanceof SpanAttributes ? part.attributes : part))
      if (value !== undefined) attributes[name] = typeof value === "string" ? value.slice(0, 256) : value;
  if (failure !== undefined) attributes["error.type"] = failure;
  const time = (ms: number): [number, number] => {
    const seconds = Math.floor(ms / 1000);
    return [seconds, Math.floor((ms - seconds * 1000) * 1e6)];
  };
  return {
    name: span.name,
    kind: KINDS[span.kind],
    spanContext: () => placeOf(context),
    ...(parent !== undefined && { parentSpanContext: { ...placeOf(parent), isRemote: span.remote } }),
    startTime: time(span.startedAt),
    endTime: time(span.endedAt),
    duration: [0, 0],
    status: { code: failure === undefined ? 0 : 2 },
    attributes,
    links: [],
    events: [],
    ended: true,
    resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

/** JSON without what is the same left out: empty lists, and counts of nothing. */
function meaning(bytes: Uint8Array | undefined): unknown {
  return JSON.parse(Buffer.from(bytes ?? []).toString(), (key, value: unknown) =>
    (Array.isArray(value) && value.length === 0) || (key.startsWith("dropped") && value === 0) ? undefined : value,
  );
}

describe("spans as bytes", () => {
  test("say what the library's own serializer says", () => {
    const ended = spans();
    const writer = new SpanWriter(1024 * 1024, RESOURCE, SCOPE);
    for (const span of ended) writer.write(span);
    expect(writer.spans).toBe(ended.length);
    const resource = resourceFromAttributes(RESOURCE);
    const theirs = JsonTraceSerializer.serializeRequest(ended.map(span => readable(span, resource)));
    expect(meaning(writer.take())).toEqual(meaning(theirs));
  });

  test("are the same when the buffer is used again, and nothing is nothing", () => {
    const ended = spans();
    const writer = new SpanWriter(1024 * 1024, {}, SCOPE);
    const written = (): string => {
      for (const span of ended) writer.write(span);
      const body = writer.take() ?? new Uint8Array();
      const text = Buffer.from(body).toString();
      writer.reuse(body);
      return text;
    };
    const first = written();
    expect(writer.take()).toBeUndefined();
    expect(written()).toBe(first);
    expect(written()).toBe(first);
  });

  test("the largest span there is fits into what is kept free for it", () => {
    const widest = "\u0001".repeat(1000);
    const tracer = new Tracer({ clock: new TestClock(), ratio: 1, sink: () => {} });
    const span = tracer.serve("x".repeat(200), `00-${TRACE}-b7ad6b7169203331-01`, "\u00ff".repeat(512));
    for (let n = 0; n < 20; n++) span.set({ [`attribute.of.some.length.${n}`]: widest });
    span.end("upstream_error");
    const writer = new SpanWriter(2 * SPAN_BYTES, {}, SCOPE);
    writer.write(span);
    expect(writer.take()?.length).toBeLessThan(SPAN_BYTES);
  });
});

class Sender {
  readonly logs: LogLine[] = [];
  readonly clock = new TestClock();
  readonly exporting: OtlpExport;
  readonly tracer: Tracer;

  constructor(endpoint: string, headers: Record<string, string> = {}) {
    const line =
      (level: string) =>
      (fields: object, message: string): void =>
        void this.logs.push({ level, message, fields: { ...fields } });
    this.exporting = new OtlpExport({
      url: `${endpoint}/v1/traces`,
      headers,
      resource: { "service.name": "test" },
      clock: this.clock,
      log: { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error"), fatal: line("fatal") },
    });
    this.tracer = new Tracer({ clock: this.clock, ratio: 1, sink: span => this.exporting.take(span) });
  }

  send(count: number, size = 10): void {
    for (let n = 0; n < count; n++) {
      const span = this.tracer.serve("x", null, null);
      span.set({ n, filler: `${n}`.padEnd(size, "-") });
      span.end();
    }
  }

  get counts(): Record<string, number> {
    return Object.fromEntries(Object.entries(this.exporting.counts).map(([name, { value }]) => [name, value]));
  }
}

describe("a collector", () => {
  test("gets each span once, in as many requests as they take, with the headers it wants", async () => {
    await using collector = new Collector();
    const sender = new Sender(collector.endpoint, { authorization: "Bearer k" });
    const count = 5000;
    sender.send(count, 200);
    await sender.exporting.flush();
    expect(collector.spans.map(({ attributes }) => attributes["n"])).toEqual(
      Array.from({ length: count }, (_, n) => n),
    );
    expect(collector.requests.length).toBeGreaterThan(2);
    for (const headers of collector.requests) {
      expect(headers.get("authorization")).toBe("Bearer k");
      expect(headers.get("content-type")).toBe("application/json");
      expect(Number(headers.get("content-length"))).toBeLessThanOrEqual(TRACE_BATCH_BYTES);
    }
    expect(sender.counts).toEqual({ exported: count, failed: 0, dropped: 0 });
    expect(sender.logs).toEqual([]);
  });

  test("gets what there is after a while", async () => {
    await using collector = new Collector();
    const sender = new Sender(collector.endpoint);
    sender.send(1);
    sender.clock.advance(10_000);
    await collector.when(spans => spans.length === 1, "the span that waited");
  });

  test("that refuses: the spans are counted as failed, and one line a minute says so", async () => {
    await using collector = new Collector();
    collector.respond = () => new Response("no", { status: 400 });
    const sender = new Sender(collector.endpoint.replace("http://", "http://user:secret@"));
    for (let n = 0; n < 5; n++) {
      sender.send(3);
      await sender.exporting.flush();
    }
    expect(sender.counts).toEqual({ exported: 0, failed: 15, dropped: 0 });
    expect(sender.logs).toHaveLength(1);
    expect(sender.logs[0]).toMatchObject({ level: "warn", message: "cannot send traces" });
    expect(sender.logs[0]?.fields["error"]).toBe("the collector responded with status 400");
    expect(JSON.stringify(sender.logs)).not.toContain("secret");
    sender.clock.advance(60_000);
    sender.send(1);
    await sender.exporting.flush();
    expect(sender.logs).toHaveLength(2);
  });

  test.each([429, 503])("that cannot now (%p) is asked again", async status => {
    await using collector = new Collector();
    collector.respond = () => new Response("later", { status });
    const sender = new Sender(collector.endpoint);
    sender.send(2);
    const sent = sender.exporting.flush();
    await eventually(() => collector.requests.length === 1 && sender.clock.armed > 0, "it waits after one attempt");
    collector.respond = () => undefined;
    sender.clock.advance(1_500);
    await sent;
    expect(collector.requests).toHaveLength(2);
    expect(sender.counts).toEqual({ exported: 2, failed: 0, dropped: 0 });
  });

  test("that is not there loses the spans in the end", async () => {
    const sender = new Sender("http://127.0.0.1:1");
    sender.send(2);
    const sent = sender.exporting.flush();
    let over = false;
    void sent.then(() => {
      over = true;
    });
    await eventually(() => {
      if (sender.clock.armed > 0) sender.clock.advance(2_000);
      return over;
    }, "it gives up");
    expect(sender.counts).toEqual({ exported: 0, failed: 2, dropped: 0 });
    expect(sender.logs).toHaveLength(1);
  });

  test("that takes nothing: what waits is bounded, the rest is dropped and counted, and the end does not wait for ever", async () => {
    await using collector = new Collector();
    const gate = new Gate();
    collector.respond = async () => {
      await gate.wait();
      return new Response(null, { status: 400 });
    };
    const sender = new Sender(collector.endpoint);
    sender.send(TRACE_QUEUE_MAX + 500);
    expect(sender.counts).toEqual({ exported: 0, failed: 0, dropped: 500 });
    expect(sender.logs.map(({ fields }) => fields["error"])).toEqual([
      "dropping spans: too many are waiting for the collector",
    ]);
    const closed = sender.exporting.close();
    sender.clock.advance(TRACE_FLUSH_MS);
    await closed;
    sender.send(1);
    expect(sender.counts["dropped"]).toBe(501);
    gate.open();
    await sender.exporting.flush();
    expect(sender.counts).toEqual({ exported: 0, failed: TRACE_QUEUE_MAX, dropped: 501 });
  });
});

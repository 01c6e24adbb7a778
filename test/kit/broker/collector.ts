// A collector of traces: takes OTLP over HTTP as JSON, and keeps every span.
import { z } from "zod";
import { silentLog } from "../../../src/lib/log.ts";
import type { Clock } from "../../../src/lib/time.ts";
import { openTracing, type Tracing } from "../../../src/lib/tracing.ts";
import { Changes } from "../time/until.ts";

const value = z.union([
  z.object({ stringValue: z.string() }).transform(({ stringValue }) => stringValue),
  z.object({ intValue: z.number() }).transform(({ intValue }) => intValue),
  z.object({ doubleValue: z.number() }).transform(({ doubleValue }) => doubleValue),
  z.object({ boolValue: z.boolean() }).transform(({ boolValue }) => boolValue),
]);
const attributes = z
  .array(z.object({ key: z.string(), value }))
  .transform(list => Object.fromEntries(list.map(({ key, value }) => [key, value])));
const spanSchema = z.object({
  traceId: z.string().regex(/^[0-9a-f]{32}$/),
  spanId: z.string().regex(/^[0-9a-f]{16}$/),
  parentSpanId: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
  traceState: z.string().optional(),
  name: z.string(),
  kind: z.number(),
  startTimeUnixNano: z.string().regex(/^\d+$/),
  endTimeUnixNano: z.string().regex(/^\d+$/),
  attributes,
  status: z.object({ code: z.number().optional() }),
});
const requestSchema = z.object({
  resourceSpans: z.array(
    z.object({ resource: z.object({ attributes }), scopeSpans: z.array(z.object({ spans: z.array(spanSchema) })) }),
  ),
});

/** A span as it arrived, with the name of the program that sent it. */
export interface CollectedSpan extends Omit<z.infer<typeof spanSchema>, "kind" | "status"> {
  service: string;
  resource: Record<string, string | number | boolean>;
  kind: string;
  failed: boolean;
  /** Nanoseconds since 1970. */
  start: bigint;
  end: bigint;
}

const KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/** What a collector does with a batch: undefined takes it. */
type Respond = () => Response | Promise<Response> | undefined;

export class Collector {
  readonly spans: CollectedSpan[] = [];
  /** The headers of every request. */
  readonly requests: Headers[] = [];
  respond: Respond = () => undefined;
  readonly #tracings: Tracing[] = [];
  readonly #changes = new Changes();
  readonly #server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: request => this.#take(request),
  });

  get endpoint(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** Traces as a program called `serviceName` makes them, for a broker or agent in this process. */
  async tracing(serviceName: string, options: { ratio?: number; clock?: Clock } = {}): Promise<Tracing> {
    const { ratio = 1, clock } = options;
    const settings = { endpoint: this.endpoint, headers: {}, resource: {}, serviceName, ratio };
    const tracing = openTracing(settings, silentLog, clock);
    if (tracing === undefined) throw new Error("no traces");
    this.#tracings.push(tracing);
    return tracing;
  }

  /** Has everything sent that programs in this process hold. */
  async flush(): Promise<void> {
    await Promise.all(this.#tracings.map(tracing => tracing.flush()));
  }

  /** Resolves once `holds` does of the spans that have arrived. */
  when(holds: (spans: readonly CollectedSpan[]) => boolean, what: string): Promise<void> {
    return this.#changes.when(
      () => holds(this.spans),
      () => `${what}\n${this.tree()}`,
    );
  }

  /** Every span of a trace as a line, indented below its parent, for a look and for messages. */
  tree(): string {
    const line = (span: CollectedSpan, depth: number): string[] => [
      `${"  ".repeat(depth)}${span.service} ${span.kind} ${span.name}${span.failed ? " FAILED" : ""}`,
      ...this.spans
        .filter(child => child.parentSpanId === span.spanId)
        .sort((a, b) => (a.start < b.start ? -1 : 1))
        .flatMap(child => line(child, depth + 1)),
    ];
    const ids = new Set(this.spans.map(({ spanId }) => spanId));
    const roots = this.spans.filter(({ parentSpanId }) => parentSpanId === undefined || !ids.has(parentSpanId));
    return roots.flatMap(root => line(root, 0)).join("\n");
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #take(request: Request): Promise<Response> {
    this.requests.push(request.headers);
    const { pathname } = new URL(request.url);
    if (request.method !== "POST" || pathname !== "/v1/traces") return new Response("not here", { status: 404 });
    const refused = await this.respond();
    if (refused !== undefined) {
      this.#changes.notify();
      return refused;
    }
    const { resourceSpans } = requestSchema.parse(await request.json());
    for (const { resource, scopeSpans } of resourceSpans) {
      for (const { kind, status, ...span } of scopeSpans.flatMap(({ spans }) => spans)) {
        this.spans.push({
          ...span,
          service: String(resource.attributes["service.name"]),
          resource: resource.attributes,
          kind: KINDS[kind] ?? String(kind),
          failed: status.code === 2,
          start: BigInt(span.startTimeUnixNano),
          end: BigInt(span.endTimeUnixNano),
        });
      }
    }
    this.#changes.notify();
    return Response.json({});
  }
}

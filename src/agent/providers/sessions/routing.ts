import { at, keyOf, type Message, RELATED_TASK, unquoted } from "../channels/message.ts";

/** A pending request of a client, and the identifiers by which server messages refer to it. */
export interface Pending<Stream> {
  readonly id: string;
  readonly stream: Stream;
  readonly progressToken: string | undefined;
  /** The task for whose result it waits. */
  readonly task: string | undefined;
}

export function pendingOf<Stream>(request: Message & { id: string }, stream: Stream): Pending<Stream> {
  const params = request.value["params"];
  return {
    id: request.id,
    stream,
    progressToken: keyOf(at(params, "_meta", "progressToken")),
    task: request.method === "tasks/result" ? keyOf(at(params, "taskId")) : undefined,
  };
}

/**
 * The stream to which a request or notification of the server refers: by progress, by task, or by the server request
 * that it cancels.
 */
export function namedStream<Stream>(
  message: Message,
  pending: Iterable<Pending<Stream>>,
  asked: Pick<ReadonlyMap<string, Stream>, "get">,
): Stream | undefined {
  const params = message.value["params"];
  const token = message.method === "notifications/progress" ? keyOf(at(params, "progressToken")) : undefined;
  const task = keyOf(at(params, "_meta", RELATED_TASK, "taskId"));
  const withdrawn = message.method === "notifications/cancelled" ? keyOf(at(params, "requestId")) : undefined;
  let ofTask: Stream | undefined;
  for (const request of pending) {
    if (token !== undefined && isSame(request.progressToken, token)) return request.stream;
    if (task !== undefined && request.task === task) ofTask = request.stream;
  }
  return ofTask ?? (withdrawn === undefined ? undefined : asked.get(withdrawn));
}

/** A server may have made a string of a number. */
function isSame(own: string | undefined, named: string): boolean {
  return own !== undefined && (own === named || own === unquoted(named));
}

/** The stream that everything belongs to which names none: the only one that waits for anything. */
export function onlyStream<Stream>(pending: Iterable<Pending<Stream>>): Stream | undefined {
  const streams = new Set<Stream>();
  for (const { stream } of pending) streams.add(stream);
  const [only] = streams;
  return streams.size === 1 ? only : undefined;
}

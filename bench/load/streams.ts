/** SSE streams: the time of every chunk from the backend's hand to ours. */
import { now } from "../clock.ts";
import { Connection, requestBytes } from "./connection.ts";
import type { JobOf, Result, Target } from "./jobs.ts";
import { within } from "./requests.ts";
import { figures, Tally } from "./tally.ts";

/** What the backend writes before its send time; see `backend.ts`. */
const STAMP = '"bench_t":';
const LAST = "data: [DONE]";

/** Finds the backend's send times in a stream that arrives in arbitrary pieces. */
export class StampReader {
  chunks = 0;
  done = false;
  #tail = "";
  #onChunk: (sentAt: number) => void;

  constructor(onChunk: (sentAt: number) => void) {
    this.#onChunk = onChunk;
  }

  read(part: Buffer): void {
    const text = this.#tail + part.toString("latin1");
    let at = 0;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n", at)) {
      const stamp = text.indexOf(STAMP, at);
      if (stamp >= 0 && stamp < end) {
        this.chunks++;
        this.#onChunk(Number.parseFloat(text.slice(stamp + STAMP.length, stamp + STAMP.length + 24)));
      } else if (text.startsWith(LAST, at)) this.done = true;
      at = end + 2;
    }
    this.#tail = text.slice(at);
  }
}

interface OneStream {
  connection: Connection;
  bytes: Buffer;
  chunks: number;
  onChunk(sentAt: number, receivedAt: number): void;
  onFirstByte?(): void;
}

/** Runs one stream to its end; resolves with null, or with what went wrong. */
export function readStream({ connection, bytes, chunks, onChunk, onFirstByte }: OneStream): Promise<string | null> {
  return new Promise(resolve => {
    let receivedAt = 0;
    const reader = new StampReader(sentAt => onChunk(sentAt, receivedAt));
    connection.send(bytes, {
      body: part => {
        if (receivedAt === 0) onFirstByte?.();
        receivedAt = now();
        reader.read(part);
      },
      done: status => {
        if (status !== 200) resolve(`status ${status}`);
        else if (!reader.done || reader.chunks !== chunks)
          resolve(`stream cut after ${reader.chunks} of ${chunks} chunks`);
        else resolve(null);
      },
      failed: resolve,
    });
  });
}

export function streamRequest(target: Target, chunks: number, intervalMs: number): Buffer {
  const messages = [{ role: "user", content: "Count, please." }];
  const body = { model: "bench-model", stream: true, bench_chunks: chunks, bench_interval_ms: intervalMs, messages };
  return requestBytes(target, JSON.stringify(body));
}

/** Every stream once. */
export async function runStreams(job: JobOf<"streams">): Promise<Result> {
  const tally = new Tally();
  const bytes = streamRequest(job.target, job.chunks, job.intervalMs);
  const connections = await Promise.all(Array.from({ length: job.streams }, () => Connection.open(job.target.port)));
  const chunk: number[] = [];
  const firstByte: number[] = [];
  const stream: number[] = [];
  const one = async (connection: Connection, index: number): Promise<void> => {
    await Bun.sleep((index * job.spreadMs) / job.streams);
    const began = now();
    const wrong = await readStream({
      connection,
      bytes,
      chunks: job.chunks,
      onChunk: (sentAt, receivedAt) => chunk.push(receivedAt - sentAt),
      onFirstByte: () => firstByte.push(now() - began),
    });
    stream.push(now() - began);
    if (wrong === null) tally.answered++;
    else tally.error(wrong);
  };
  await within(Promise.all(connections.map(one)), job.deadlineMs, () => tally.error("streams not over in time"));
  for (const connection of connections) connection.close();
  return tally.result({ chunk: figures(chunk), firstByte: figures(firstByte), stream: figures(stream) });
}

import { expect, test } from "bun:test";
import { JobEventStream } from "../../../../src/broker/jobs/http/sse-response.ts";
import { JOB_UNREAD_BYTES } from "../../../../src/broker/jobs/limits.ts";
import { access } from "../../../kit/broker/access.ts";
import { TestClock } from "../../../kit/time/clock.ts";

const PIECE = 64 * 1024;

test("a client that does not read is cut off, by bytes and not by events", async () => {
  const clock = new TestClock();
  const stream = new JobEventStream(clock, new AbortController().signal, access());
  const text = "x".repeat(PIECE);
  let sent = 0;
  for (; !stream.ended.aborted; sent += PIECE) stream.send(text);
  expect(sent).toBe(JOB_UNREAD_BYTES + PIECE);
  // It is no whole answer for whoever reads now.
  await expect(stream.response.text()).rejects.toBeUndefined();
  expect(clock.armed).toBe(0);
});

test("one that reads may have any number of them", async () => {
  const stream = new JobEventStream(new TestClock(), new AbortController().signal, access());
  const reader = stream.response.body?.getReader();
  const text = "x".repeat(PIECE);
  for (let sent = 0; sent < 4 * JOB_UNREAD_BYTES; sent += PIECE) {
    stream.send(text);
    expect((await reader?.read())?.value?.length).toBe(PIECE);
    await stream.drained();
    expect(stream.unread).toBe(0);
  }
  stream.close();
  expect((await reader?.read())?.done).toBe(true);
});

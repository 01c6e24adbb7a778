/** The two ends of a transfer: a writer and a reader of so many bytes. */
import { now } from "../clock.ts";
import { Connection, readHead, requestHead } from "./connection.ts";
import type { JobOf, Result, Target } from "./jobs.ts";
import { within } from "./requests.ts";
import { Tally } from "./tally.ts";

const PIECE = Buffer.alloc(256 * 1024, "a");

/** Sends a body of `bytes`; `seconds` from its first byte to the answer. */
export const runPush = ({ target, bytes, deadlineMs }: JobOf<"push">): Promise<Result> =>
  once(target, requestHead(target, bytes), deadlineMs, async connection => {
    for (let left = bytes; left > 0 && connection.isOpen; left -= PIECE.length) {
      await connection.write(left >= PIECE.length ? PIECE : PIECE.subarray(0, left));
    }
  });

/** Reads an answer of `bytes`; `seconds` from its first byte to its last. */
export const runPull = ({ target, bytes, deadlineMs }: JobOf<"pull">): Promise<Result> =>
  once(target, readHead(target), deadlineMs, undefined, bytes);

/** One exchange on a connection of its own. */
async function once(
  target: Target,
  head: string,
  deadlineMs: number,
  send: ((connection: Connection) => Promise<void>) | undefined,
  expected?: number,
): Promise<Result> {
  const tally = new Tally();
  const connection = await Connection.open(target.port);
  let received = 0;
  let began = now();
  let finished = began;
  const answered = new Promise<void>(resolve => {
    const end = (wrong: string | null): void => {
      finished = now();
      if (wrong === null) tally.answered++;
      else tally.error(wrong);
      resolve();
    };
    connection.send(Buffer.from(head), {
      body: part => {
        if (received === 0 && expected !== undefined) began = now();
        received += part.length;
      },
      done: status => {
        if (status !== 200) end(`status ${status}`);
        else end(expected === undefined || received === expected ? null : `${received} bytes of ${expected}`);
      },
      failed: end,
    });
  });
  await within(Promise.all([answered, send?.(connection)]), deadlineMs, () => tally.error("transfer not over in time"));
  connection.close();
  return tally.result({ seconds: (finished - began) / 1e3 });
}

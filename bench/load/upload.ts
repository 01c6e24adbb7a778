/** One big request body. */
import { now } from "../clock.ts";
import { Connection, requestHead } from "./connection.ts";
import type { JobOf, Result } from "./jobs.ts";
import { within } from "./requests.ts";
import { Tally } from "./tally.ts";

const PIECE = Buffer.alloc(256 * 1024, "a");
const BEFORE = '{"model":"bench-model","messages":[{"role":"user","content":"';
const AFTER = '"}]}';

export async function runUpload(job: JobOf<"upload">): Promise<Result> {
  const tally = new Tally();
  const connection = await Connection.open(job.target.port);
  const answer: Buffer[] = [];
  const began = now();
  let finished = began;
  let over = false;
  const answered = new Promise<void>(resolve => {
    const end = (wrong: string | null): void => {
      over = true;
      finished = now();
      if (wrong === null) tally.answered++;
      else tally.error(wrong);
      resolve();
    };
    connection.send(Buffer.from(requestHead(job.target, job.bytes) + BEFORE), {
      body: part => answer.push(Buffer.from(part)),
      done: status => end(problem(status, Buffer.concat(answer).toString(), job.bytes)),
      failed: end,
    });
  });
  const sending = (async () => {
    let left = job.bytes - BEFORE.length - AFTER.length;
    while (left > 0 && !over) {
      const piece = left >= PIECE.length ? PIECE : PIECE.subarray(0, left);
      await connection.write(piece);
      left -= piece.length;
    }
    if (!over) await connection.write(Buffer.from(AFTER));
  })();
  await within(Promise.all([answered, sending]), job.deadlineMs, () => {
    over = true;
    tally.error("upload not over in time");
  });
  connection.close();
  return tally.result({ seconds: (finished - began) / 1e3 });
}

/** The backend must have read exactly what we sent. */
function problem(status: number, answer: string, bytes: number): string | null {
  if (status !== 200) return `status ${status}`;
  return answer.includes(`"bytes":${bytes}}`) ? null : `the backend counted otherwise: ${answer.slice(0, 80)}`;
}

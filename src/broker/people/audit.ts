// The chain of audit lines: each holds the hash of the one before it, so that none can be changed or taken out unseen.

/** A change that an operator made. */
export interface AuditEvent {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Its author: a key's ID and name, `local:<user>` for the control socket, `file` for the configuration. */
  readonly actor: string;
  /** The action, such as `key.rotate`. */
  readonly action: string;
  /** The id of what it was done to. */
  readonly target: string;
  /** The record before and after, as JSON without secrets; null where there was or is none. */
  readonly before: string | null;
  readonly after: string | null;
}

export interface AuditLine extends AuditEvent {
  /** Counts from 1, without a gap. */
  readonly seq: number;
  /** SHA-256 over the previous line's hash and this line, in hexadecimal. */
  readonly hash: string;
}

/** The hash before the first line. */
export const NO_HASH = "0".repeat(64);

/** The line that follows the one with `previous` as its hash. */
export function link(event: AuditEvent, seq: number, previous: string): AuditLine {
  return { ...event, seq, hash: hashOf(event, seq, previous) };
}

/** The number of the first line that does not fit the chain; undefined when all do. */
export function firstBroken(lines: Iterable<AuditLine>): number | undefined {
  let previous = NO_HASH;
  let seq = 0;
  for (const line of lines) {
    seq++;
    if (line.seq !== seq || line.hash !== hashOf(line, seq, previous)) return seq;
    previous = line.hash;
  }
  return undefined;
}

/** JSON of a list is unambiguous: no field can run into the next one. */
function hashOf({ at, actor, action, target, before, after }: AuditEvent, seq: number, previous: string): string {
  const text = JSON.stringify([previous, seq, at, actor, action, target, before, after]);
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}

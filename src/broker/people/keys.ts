// Every key that opens the API: those that operators made, and those of the configuration file.
import { NfrxError } from "../../lib/errors.ts";
import type { Clock, Timer } from "../../lib/time.ts";
import { ActiveKey, type Credential } from "./active-key.ts";
import { type KeyRecord, makeId, makeKey } from "./key.ts";
import {
  changed,
  decodeKey,
  encodeKey,
  type KeyChange,
  type KeyDigest,
  type NewKey,
  recordOf,
  showKey,
} from "./key-shape.ts";
import type { PeopleStore } from "./store.ts";

/** Keys that a broker has at most. */
const KEYS_MAX = 10_000;
/** A timer takes 31 bits of milliseconds: a longer wait is armed again each day. */
const TIMER_MAX_MS = 86_400_000;

/** A key of the configuration file: what the file says, and the digest that stands in for the key. */
export interface FileKey {
  readonly spec: NewKey;
  /** SHA-256 of the key in hexadecimal. */
  readonly sha256: string;
}

export interface KeysOptions {
  readonly store: PeopleStore;
  readonly clock: Clock;
}

/** A key, and the text that opens it: shown once, never kept. */
export interface MadeKey {
  readonly record: KeyRecord;
  readonly secret: string;
}

/** All keys, in memory. A change is in the store before it counts; changes are made one after the other. */
export class Keys {
  readonly #byId = new Map<string, ActiveKey>();
  readonly #byName = new Map<string, ActiveKey>();
  /** By the SHA-256 of the whole key, in hexadecimal. */
  readonly #byDigest = new Map<string, Credential>();
  readonly #options: KeysOptions;
  #timer: Timer | undefined;
  #changing: Promise<unknown> = Promise.resolve();

  readonly #wall: () => number;

  private constructor(options: KeysOptions) {
    this.#options = options;
    this.#wall = () => options.clock.wall();
  }

  /** Reads the keys of the store. */
  static async open(options: KeysOptions): Promise<Keys> {
    const keys = new Keys(options);
    for (const { json } of await options.store.list("key")) {
      const { record, digests } = decodeKey(json);
      keys.#put(new ActiveKey(record, digests, keys.#wall));
    }
    keys.#arm();
    return keys;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** The credential with this SHA-256 digest; undefined if there is none, or if it has ended. */
  find(digest: Buffer): Credential | undefined {
    const found = this.#byDigest.get(digest.toString("hex"));
    const endsAt = found?.endsAt;
    return endsAt !== undefined && endsAt <= this.#options.clock.wall() ? undefined : found;
  }

  /** Every key, oldest first. */
  list(): KeyRecord[] {
    return [...this.#byId.values()].map(({ record }) => record);
  }

  /** The key with this id or name. Throws `not_found`. */
  get(idOrName: string): ActiveKey {
    const found = this.#byId.get(idOrName) ?? this.#byName.get(idOrName);
    if (found === undefined) throw new NfrxError("not_found", `there is no key ${idOrName}`);
    return found;
  }

  /** Makes a key. Throws `exists` when the name is taken, `overloaded` when there are KEYS_MAX. */
  add(spec: NewKey, actor: string): Promise<MadeKey> {
    return this.#inTurn(async () => {
      this.#requireRoom();
      this.#requireFree(spec.name);
      const secret = makeKey();
      const record = recordOf(spec, makeId("k"), this.#options.clock.wall(), "store");
      const digests = [{ sha256: digestOf(secret), until: undefined }];
      const change = { actor, action: "key.add", before: null, after: JSON.stringify(showKey(record)) };
      await this.#options.store.add("key", rowOf(record, digests), change);
      this.#put(new ActiveKey(record, digests, this.#wall));
      this.#arm();
      return { record, secret };
    });
  }

  /** Changes a key; what is open and no longer allowed ends. Throws `not_found`, `exists`, or `forbidden` for a key of the file. */
  set(idOrName: string, change: KeyChange, actor: string): Promise<KeyRecord> {
    return this.#inTurn(async () => {
      const key = this.#stored(idOrName);
      const after = changed(key.record, change);
      if (after.name !== key.record.name) this.#requireFree(after.name);
      await this.#write(key, after, key.credentials, actor, "key.set");
      this.#drop(key);
      key.change(after);
      this.#put(key);
      this.#arm();
      return after;
    });
  }

  /** Gives a key a new text; the old one ends at once, or after `overlapMs`. */
  rotate(idOrName: string, overlapMs: number, actor: string): Promise<MadeKey> {
    return this.#inTurn(async () => {
      const key = this.#stored(idOrName);
      const secret = makeKey();
      const ends = this.#options.clock.wall() + overlapMs;
      const old = overlapMs > 0 ? key.credentials.slice(-1).map(({ sha256 }) => ({ sha256, until: ends })) : [];
      const digests = [...old, { sha256: digestOf(secret), until: undefined }];
      await this.#write(key, key.record, digests, actor, "key.rotate");
      this.#drop(key);
      key.setDigests(digests);
      this.#put(key);
      this.#arm();
      return { record: key.record, secret };
    });
  }

  /** Ends a key and what is open with it. */
  revoke(idOrName: string, actor: string): Promise<KeyRecord> {
    return this.#inTurn(async () => {
      const key = this.#stored(idOrName);
      const { record } = key;
      const change = { actor, action: "key.revoke", before: JSON.stringify(showKey(record)), after: null };
      await this.#options.store.remove("key", record.id, change);
      this.#drop(key);
      key.setDigests([]);
      return record;
    });
  }

  /**
   * Puts the keys of the configuration file in place of those that it had before. Throws, and leaves everything as it is, when
   * one has the name or the text of a key in the store.
   */
  setFileKeys(given: readonly FileKey[]): void {
    const wall = this.#options.clock.wall();
    const before = [...this.#byId.values()].filter(({ record }) => record.source === "file");
    for (const { spec, sha256 } of given) {
      const others = [this.#byName.get(spec.name), this.#byDigest.get(sha256)?.active];
      if (others.some(key => key?.record.source === "store"))
        throw new NfrxError(
          "exists",
          `keys: ${spec.name} has the name or the digest of a key that was made with \`nfrx key add\``,
        );
    }
    for (const key of before) this.#drop(key);
    for (const { spec, sha256 } of given) {
      const known = before.find(({ record }) => record.name === spec.name);
      const record = recordOf(spec, `k_file_${spec.name}`, known?.record.createdAt ?? wall, "file");
      const key = known ?? new ActiveKey(record, [], this.#wall);
      key.change(record);
      key.setDigests([{ sha256, until: undefined }]);
      this.#put(key);
    }
    for (const key of before) if (this.#byId.get(key.record.id) !== key) key.setDigests([]);
    this.#arm();
  }

  close(): void {
    this.#timer?.cancel();
  }

  /** A key that may be changed. */
  #stored(idOrName: string): ActiveKey {
    const key = this.get(idOrName);
    if (key.record.source === "file")
      throw new NfrxError("forbidden", `${key.record.name} stands in the configuration file: change it there`);
    return key;
  }

  #requireRoom(): void {
    if (this.#byId.size >= KEYS_MAX) throw new NfrxError("overloaded", `there are ${KEYS_MAX} keys already`);
  }

  #requireFree(name: string): void {
    if (this.#byName.has(name))
      throw new NfrxError("exists", `there is already a key with the name ${name}`, { param: "name" });
  }

  async #write(
    key: ActiveKey,
    after: KeyRecord,
    digests: readonly KeyDigest[],
    actor: string,
    action: string,
  ): Promise<void> {
    const before = JSON.stringify(showKey(key.record));
    const change = { actor, action, before, after: JSON.stringify(showKey(after)) };
    const found = await this.#options.store.replace("key", rowOf(after, digests), change);
    if (!found) throw new NfrxError("not_found", `there is no key ${key.record.name}`);
  }

  #put(key: ActiveKey): void {
    const { id, name } = key.record;
    this.#byId.set(id, key);
    this.#byName.set(name, key);
    for (const credential of key.credentials) this.#byDigest.set(credential.sha256, credential);
  }

  #drop(key: ActiveKey): void {
    const { id, name } = key.record;
    this.#byId.delete(id);
    this.#byName.delete(name);
    for (const { sha256 } of key.credentials) this.#byDigest.delete(sha256);
  }

  /** Cuts what is open with texts that have ended, and waits for the next one that ends. */
  #arm(): void {
    const { clock } = this.#options;
    this.#timer?.cancel();
    const now = clock.wall();
    let next = Number.POSITIVE_INFINITY;
    for (const credential of this.#byDigest.values()) {
      const { endsAt } = credential;
      if (endsAt === undefined) continue;
      if (endsAt <= now) credential.cut(() => true);
      else next = Math.min(next, endsAt);
    }
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = clock.after(Math.min(next - now, TIMER_MAX_MS), () => this.#arm(), true);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#changing.then(work);
    this.#changing = done.catch(() => {});
    return done;
  }
}

function rowOf(record: KeyRecord, digests: readonly KeyDigest[]) {
  return { id: record.id, name: record.name, json: encodeKey(record, digests) };
}

/** SHA-256 in hexadecimal. */
export function digestOf(secret: string): string {
  return new Bun.CryptoHasher("sha256").update(secret).digest("hex");
}

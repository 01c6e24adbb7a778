// Keys in use, and what is open with them.
import { oneLine } from "../../lib/printable.ts";
import type { CallerKey, KeyGrant, RateLimit, Reservation, Scope } from "../../modules/route.ts";
import type { GlobList } from "./glob.ts";
import { allows, type KeyRecord, modelsOf } from "./key.ts";
import type { KeyDigest } from "./key-shape.ts";
import { Meter } from "./meter.ts";

/** Persons that an app key may name; further ones are counted as `other`. */
const APP_PERSONS_MAX = 10_000;
/** Characters of the name of such a person. */
const APP_PERSON_CHARS = 128;
const OTHER_PERSON = "other";

/** A key with what it has used. */
export class ActiveKey {
  readonly meter = new Meter();
  #record: KeyRecord;
  #models: GlobList | undefined;
  #credentials: Credential[];
  readonly #persons = new Set<string>();

  /** `wall` is the time, in milliseconds since 1970. */
  constructor(
    record: KeyRecord,
    digests: readonly KeyDigest[],
    readonly wall: () => number,
  ) {
    this.#record = record;
    this.#models = modelsOf(record);
    this.#credentials = digests.map(digest => new Credential(this, digest));
  }

  get record(): KeyRecord {
    return this.#record;
  }

  /** The texts that open it now: one, or two while a rotation overlaps. */
  get credentials(): readonly Credential[] {
    return this.#credentials;
  }

  /** True when the key may use what asks for this scope. */
  allows(scope: Scope): boolean {
    return allows(this.#record.scopes, scope);
  }

  /** True when the key may use a model of this name. */
  allowsModel(name: string): boolean {
    return this.#models?.matches(name) ?? true;
  }

  /** The person behind a request that names `user`: `<key>/<user>` for an app key, else the key's own. */
  personFor(user: string | undefined): string {
    const { app, name, person } = this.#record;
    if (!app || user === undefined || user === "") return person;
    const full = `${name}/${oneLine(user).slice(0, APP_PERSON_CHARS)}`;
    if (this.#persons.size >= APP_PERSONS_MAX && !this.#persons.has(full)) return `${name}/${OTHER_PERSON}`;
    this.#persons.add(full);
    return full;
  }

  /** Takes on another record and cuts what that does not allow. */
  change(record: KeyRecord): void {
    this.#record = record;
    this.#models = modelsOf(record);
    const isOver = ({ scopes, models }: KeyGrant): boolean =>
      !scopes.some(scope => this.allows(scope)) || !models.every(model => this.allowsModel(model));
    for (const credential of this.#credentials) credential.cut(isOver);
  }

  /** Takes on other texts; what is open with one that is no longer among them is cut. */
  setDigests(digests: readonly KeyDigest[]): void {
    const before = this.#credentials;
    this.#credentials = digests.map(digest => {
      const known = before.find(({ sha256 }) => sha256 === digest.sha256);
      if (known === undefined) return new Credential(this, digest);
      known.until = digest.until;
      return known;
    });
    for (const credential of before) if (!this.#credentials.includes(credential)) credential.cut(() => true);
  }
}

/** One text that opens a key: an identity of callers. */
export class Credential implements CallerKey {
  readonly kind = "key";
  readonly sha256: string;
  /** Until when it opens the key, in milliseconds since 1970; undefined for as long as the key itself. */
  until: number | undefined;
  readonly #grants = new Set<KeyGrant>();
  readonly #active: ActiveKey;

  constructor(key: ActiveKey, { sha256, until }: KeyDigest) {
    this.#active = key;
    this.sha256 = sha256;
    this.until = until;
  }

  get active(): ActiveKey {
    return this.#active;
  }

  /** Permissions of requests with it. */
  get key(): CallerKey {
    return this;
  }

  get id(): string {
    return this.#active.record.id;
  }

  get name(): string {
    return this.#active.record.name;
  }

  get person(): string {
    return this.#active.record.person;
  }

  personFor(user: string | undefined): string {
    return this.#active.personFor(user);
  }

  get weight(): number {
    return this.#active.record.weight;
  }

  /** When it stops opening the key by itself; undefined when it does not. */
  get endsAt(): number | undefined {
    const { expiresAt } = this.#active.record;
    if (this.until === undefined || expiresAt === undefined) return this.until ?? expiresAt;
    return Math.min(this.until, expiresAt);
  }

  holds(scope: Scope): boolean {
    return this.#active.allows(scope);
  }

  allowsModel(name: string): boolean {
    return this.#active.allowsModel(name);
  }

  admit(tokens: number): Reservation {
    const { meter, record, wall } = this.#active;
    return meter.admit(record.limits, tokens, wall(), wall);
  }

  rateLimits(): readonly RateLimit[] {
    const { meter, record, wall } = this.#active;
    return meter.rates(record.limits, wall);
  }

  hold(grant: KeyGrant): () => void {
    this.#grants.add(grant);
    return () => void this.#grants.delete(grant);
  }

  /** Ends what is open with it and no longer allowed. */
  cut(isOver: (grant: KeyGrant) => boolean): void {
    for (const grant of [...this.#grants]) {
      if (!isOver(grant)) continue;
      this.#grants.delete(grant);
      grant.cut();
    }
  }
}

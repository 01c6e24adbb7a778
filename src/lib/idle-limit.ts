import type { Clock, Timer } from "./time.ts";

/** A limit on silence that many things share. One timer watches all of them. */
export class IdleLimit {
  /** Begins the list of what is watched, the one that is due next first. */
  #first: IdleWatch | undefined;
  #last: IdleWatch | undefined;
  #timer: Timer | undefined;

  constructor(
    readonly clock: Clock,
    /** Milliseconds of silence; 0 or less for no limit. */
    readonly ms: number,
  ) {}

  /** Calls `onIdle` once, when nothing has touched the watch for the time of the limit. */
  watch(onIdle: () => void): IdleWatch {
    const watch = new IdleWatch(this, onIdle);
    if (this.ms > 0) {
      this.#insert(watch);
      this.#arm();
    }
    return watch;
  }

  /** Ends a watch; it calls this itself. */
  remove(watch: IdleWatch): void {
    if (!watch.listed) return;
    this.#unlink(watch);
    if (this.#first !== undefined) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Touching does not move a watch in the list: that happens here, when its turn has come. */
  #look(): void {
    this.#timer = undefined;
    const over = this.clock.now() - this.ms;
    for (let watch = this.#first; watch !== undefined && watch.listedAt <= over; watch = this.#first) {
      this.#unlink(watch);
      if (watch.touchedAt <= over) watch.onIdle();
      else this.#insert(watch);
    }
    this.#arm();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#first === undefined) return;
    const wait = this.#first.listedAt + this.ms - this.clock.now();
    this.#timer = this.clock.after(Math.max(0, wait), () => this.#look(), true);
  }

  /** A new watch belongs at the end of the list, one that is listed again not far from it. */
  #insert(watch: IdleWatch): void {
    watch.listed = true;
    watch.listedAt = watch.touchedAt;
    let before = this.#last;
    while (before !== undefined && before.listedAt > watch.listedAt) before = before.before;
    const behind = before === undefined ? this.#first : before.behind;
    watch.before = before;
    watch.behind = behind;
    if (before === undefined) this.#first = watch;
    else before.behind = watch;
    if (behind === undefined) this.#last = watch;
    else behind.before = watch;
  }

  #unlink(watch: IdleWatch): void {
    const { before, behind } = watch;
    if (before === undefined) this.#first = behind;
    else before.behind = behind;
    if (behind === undefined) this.#last = before;
    else behind.before = before;
    watch.listed = false;
    watch.before = undefined;
    watch.behind = undefined;
  }
}

/** One thing that must not be silent for too long. */
export class IdleWatch {
  touchedAt: number;
  /** Its place in the list of the limit, which alone changes it. */
  listedAt = 0;
  listed = false;
  before: IdleWatch | undefined;
  behind: IdleWatch | undefined;

  constructor(
    private readonly limit: IdleLimit,
    readonly onIdle: () => void,
  ) {
    this.touchedAt = limit.clock.now();
  }

  touch(): void {
    this.touchedAt = this.limit.clock.now();
  }

  cancel(): void {
    this.limit.remove(this);
  }
}

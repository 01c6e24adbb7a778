/** How long a test waits for anything, unless told otherwise. */
export const WAIT_MS = 10_000;

/** Bounds a wait: settles as `promise` does, or rejects with a message that says what did not happen. */
export async function until<T>(promise: PromiseLike<T>, what: string | (() => string), ms = WAIT_MS): Promise<T> {
  const late = Promise.withResolvers<never>();
  // Made here, so that its stack shows the line of the test that waits.
  const error = new Error();
  const timer = setTimeout(() => {
    error.message = `Waited ${ms} ms in vain: ${typeof what === "string" ? what : what()}`;
    late.reject(error);
  }, ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves once `holds` does, looked at after every turn of the event loop: for what nobody tells of. Bounded. */
export async function eventually(holds: () => boolean, what: string | (() => string), ms = WAIT_MS): Promise<void> {
  let late = false;
  const look = async (): Promise<void> => {
    while (!holds() && !late) await new Promise<void>(resolve => setImmediate(resolve));
  };
  await until(look(), what, ms).finally(() => {
    late = true;
  });
}

/** Lets tests wait for a condition without polling: who changes the state calls `notify`, and every waiter looks again. */
export class Changes {
  readonly #waiters = new Set<() => void>();

  /** Says that something changed. */
  notify(): void {
    for (const look of [...this.#waiters]) look();
  }

  /** Resolves as soon as `holds` returns true: at once, or after a later `notify`. */
  async when(holds: () => boolean, what: string | (() => string), ms = WAIT_MS): Promise<void> {
    if (holds()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => {
      try {
        if (holds()) resolve();
      } catch (error) {
        reject(error);
      }
    };
    this.#waiters.add(look);
    try {
      await until(promise, what, ms);
    } finally {
      this.#waiters.delete(look);
    }
  }
}

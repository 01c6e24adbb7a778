/**
 * Lets the event loop look at its sockets once, so that a connection that has ended by now is known to have. The first of
 * the two callbacks runs before that look, the second after it.
 */
export function yieldToEventLoop(): Promise<void> {
  return new Promise(resolve => setImmediate(() => setImmediate(resolve)));
}

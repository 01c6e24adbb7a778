/** A backend answered a question about itself with a status that is no success. */
export class StatusError extends Error {
  override readonly name = "StatusError";

  constructor(
    url: string,
    readonly status: number,
  ) {
    super(`GET ${url} responded with status ${status}`);
  }
}

import { createServer, type Server, type Socket } from "node:net";
import { Changes } from "../time/until.ts";

/**
 * Which of the servers that an agent has started are alive: each keeps a connection to the test, which ends with the
 * process, however that ends. By the same connection a server says that a call is held, and the test lets it go on.
 */
export class Roll implements AsyncDisposable {
  readonly members = new Set<Member>();
  /** Most that were alive at once. */
  peak = 0;
  /** All that ever were. */
  total = 0;
  readonly #server: Server;
  readonly #changes = new Changes();

  private constructor() {
    this.#server = createServer({ noDelay: true }, socket => this.#enter(socket));
  }

  static async start(): Promise<Roll> {
    const roll = new Roll();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    roll.#server.once("error", reject);
    roll.#server.listen(0, "127.0.0.1", resolve);
    await promise;
    return roll;
  }

  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  /** Resolves once `holds` does; looked at whenever a server comes, goes or holds a call. */
  when(holds: () => boolean, what: string, ms?: number): Promise<void> {
    return this.#changes.when(holds, () => `${what} (${this.#summary()})`, ms);
  }

  /** Resolves when `count` servers are alive, no more and no fewer. */
  alive(count: number, ms?: number): Promise<void> {
    return this.when(() => this.members.size === count, `${count} servers alive`, ms);
  }

  /** The server that holds the call of this name, once there is one. */
  async holds(name: string): Promise<Member> {
    const find = (): Member | undefined => [...this.members].find(member => member.held.has(name));
    await this.when(() => find() !== undefined, `a server holds ${name}`);
    return find()!;
  }

  /** Lets every call go on that is held now. */
  release(): void {
    for (const member of this.members) for (const name of [...member.held]) member.release(name);
  }

  #enter(socket: Socket): void {
    const member = new Member(socket, () => this.#changes.notify());
    this.members.add(member);
    this.total++;
    this.peak = Math.max(this.peak, this.members.size);
    this.#changes.notify();
    socket.on("close", () => {
      this.members.delete(member);
      this.#changes.notify();
    });
  }

  #summary(): string {
    const held = [...this.members].flatMap(member => [...member.held]);
    return `alive ${this.members.size}, peak ${this.peak}, in all ${this.total}, held ${held.length}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    for (const { socket } of this.members) socket.destroy();
    await promise;
  }
}

/** One server. */
export class Member {
  /** 0 until it has said so. */
  pid = 0;
  /** Calls that it holds. */
  readonly held = new Set<string>();

  constructor(
    readonly socket: Socket,
    changed: () => void,
  ) {
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const { pid, held }: { pid?: number; held?: string } = JSON.parse(line);
        if (pid !== undefined) this.pid = pid;
        if (held !== undefined) this.held.add(held);
      }
      changed();
    });
    socket.on("error", () => {});
    socket.on("end", () => socket.destroy());
  }

  /** Lets a call go on. */
  release(name: string): void {
    this.held.delete(name);
    this.socket.write(`${name}\n`);
  }

  kill(): void {
    process.kill(this.pid, "SIGKILL");
  }
}

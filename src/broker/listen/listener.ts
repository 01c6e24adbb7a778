import type { Address } from "../../lib/address.ts";
import { type Answer, serveMetrics, serveWebSockets } from "../../lib/listen.ts";
import type { Logger } from "../../lib/log.ts";
import { readTls, type TlsFiles, type TlsMaterial } from "../../lib/pem.ts";
import type { Clock } from "../../lib/time.ts";
import { type SocketHandler, type WebSocketServer, webSockets } from "../http/web-socket.ts";
import { watchTls } from "./tls.ts";

/** Idle timeout of sockets on routes without their own limit, in seconds: the maximum that Bun supports. */
const IDLE_SECONDS = 255;

export interface ListenerOptions {
  /** The public address. */
  address: Address;
  /** The address of /metrics; by default the public one. */
  metricsAddress: Address | undefined;
  /** With both it speaks TLS. */
  certFile: string | undefined;
  keyFile: string | undefined;
  clock: Clock;
  log: Logger;
}

/** Handlers of a listener. */
export interface ListenerHandlers {
  receive: (request: Request) => Answer;
  /** Called with an error that nothing else has caught. */
  onError: (error: unknown) => void;
  /** The response of /metrics at an address of its own. */
  metrics: () => Promise<Response>;
}

/** The sockets of a broker: its server, that of /metrics where it has its own, and the certificate, which may change while they are open. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #metricsAddress: Address | undefined;
  #server: WebSocketServer | undefined;
  #metricsServer: Bun.Server<undefined> | undefined;
  #watcher: { close(): void } | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const { address, metricsAddress: own } = options;
    this.#metricsAddress = own?.port === address.port && address.port !== 0 ? undefined : own;
  }

  /** Opens the ports. Throws when one is taken or the certificate cannot be used; nothing is open then. */
  start(served: ListenerHandlers): void {
    try {
      this.#listen(served);
    } catch (error) {
      void this.#server?.stop(true);
      void this.#metricsServer?.stop(true);
      throw error;
    }
  }

  /** The server that listens now; with a new certificate it is a new one. */
  get server(): WebSocketServer {
    if (this.#server === undefined) throw new Error("the broker is not listening yet");
    return this.#server;
  }

  /** The port of /metrics; undefined when it is among all else. */
  get metricsPort(): number | undefined {
    return this.#metricsServer?.port;
  }

  /** True when /metrics has no address of its own. */
  get publicMetrics(): boolean {
    return this.#metricsAddress === undefined;
  }

  /** The certificate stays as it is from now on. */
  settle(): void {
    this.#watcher?.close();
  }

  /** Closes every socket. */
  async stop(): Promise<void> {
    this.settle();
    await Promise.all([this.server.stop(true), this.#metricsServer?.stop(true)]);
  }

  #listen(served: ListenerHandlers): void {
    const { address, certFile, keyFile, clock, log } = this.#options;
    const files: TlsFiles | undefined =
      certFile !== undefined && keyFile !== undefined ? { certFile, keyFile } : undefined;
    if (this.#metricsAddress !== undefined) this.#metricsServer = serveMetrics(this.#metricsAddress, served.metrics);
    const tls = files === undefined ? undefined : readTls(files);
    this.#server = this.#serve(served, address.port, tls);
    if (files !== undefined) this.#watcher = watchTls(files, clock, log, material => this.#relisten(served, material));
  }

  /**
   * Bun cannot change the certificate of a running server (`reload` ignores `tls`): the old server stops listening, a
   * new one takes the port, and existing connections continue.
   */
  #relisten(served: ListenerHandlers, material: TlsMaterial): void {
    const { port } = this.server;
    this.server.stop();
    this.#server = this.#serve(served, port ?? 0, material);
  }

  #serve({ receive, onError }: ListenerHandlers, port: number, tls: TlsMaterial | undefined): WebSocketServer {
    const { address } = this.#options;
    return serveWebSockets<SocketHandler>({
      option: "PORT",
      address: { host: address.host, port },
      tls,
      idleSeconds: IDLE_SECONDS,
      // Body limits are enforced when reading, for a proper error.
      maxBodyBytes: Number.MAX_SAFE_INTEGER,
      answer: receive,
      onError,
      websocket: webSockets,
    });
  }
}

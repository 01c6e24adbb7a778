import type { Address } from "../lib/address.ts";
import { type Answer, serveMetrics, serveWebSockets } from "../lib/listen.ts";
import type { Logger } from "../lib/log.ts";
import { readTls, type TlsFiles, type TlsMaterial } from "../lib/pem.ts";
import type { Clock } from "../lib/time.ts";
import { MESSAGE_MAX } from "../protocol/limits.ts";
import type { Upgrader } from "./pool/agent-upgrade.ts";
import type { Connection } from "./pool/socket.ts";
import { watchTls } from "./tls.ts";

/** Idle timeout of sockets on routes without their own limit, in seconds: the maximum that Bun supports. */
const IDLE_SECONDS = 255;
/** Backpressure limit of an agent's socket, in bytes: above the sum of all credit, so that nothing is ever dropped. */
const BACKPRESSURE_BYTES = 256 * 1024 * 1024;

export interface ListenerOptions {
  /** Where the broker is for everybody. */
  address: Address;
  /** Where /metrics is; the same place as all else when not given, or when it says so. */
  metricsAddress: Address | undefined;
  /** With both it speaks TLS. */
  certFile: string | undefined;
  keyFile: string | undefined;
  receive: (request: Request) => Answer;
  /** Called with an error that nothing else has caught. */
  onError: (error: unknown) => void;
  /** What /metrics answers at an address of its own. */
  metrics: () => Promise<Response>;
  clock: Clock;
  log: Logger;
}

/** The sockets of a broker: its server, that of /metrics where it has its own, and the certificate, which may change while they are open. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #metricsAddress: Address | undefined;
  #server: Upgrader | undefined;
  #metricsServer: Bun.Server<undefined> | undefined;
  #watcher: { close(): void } | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const { address, metricsAddress: own } = options;
    this.#metricsAddress = own?.port === address.port && address.port !== 0 ? undefined : own;
  }

  /** Takes the ports. Throws when one is taken or the certificate cannot be used; nothing is open then. */
  start(): void {
    try {
      this.#listen();
    } catch (error) {
      void this.#server?.stop(true);
      void this.#metricsServer?.stop(true);
      throw error;
    }
  }

  /** The server that listens now; with a new certificate it is a new one. */
  get server(): Upgrader {
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

  #listen(): void {
    const { address, certFile, keyFile, metrics, clock, log } = this.#options;
    const files: TlsFiles | undefined =
      certFile !== undefined && keyFile !== undefined ? { certFile, keyFile } : undefined;
    if (this.#metricsAddress !== undefined) this.#metricsServer = serveMetrics(this.#metricsAddress, metrics);
    const tls = files === undefined ? undefined : readTls(files);
    this.#server = this.#serve(address.port, tls);
    if (files !== undefined) this.#watcher = watchTls(files, clock, log, material => this.#relisten(material));
  }

  /**
   * Bun cannot change the certificate of a running server (`reload` passes over `tls`): the old one stops listening, a new
   * one takes the port, and what is connected to the old one goes on there.
   */
  #relisten(material: TlsMaterial): void {
    const { port } = this.server;
    this.server.stop();
    this.#server = this.#serve(port ?? 0, material);
  }

  #serve(port: number, tls: TlsMaterial | undefined): Upgrader {
    const { address, receive, onError } = this.#options;
    return serveWebSockets<Connection>({
      option: "PORT",
      address: { host: address.host, port },
      tls,
      idleSeconds: IDLE_SECONDS,
      // Bodies are limited where they are read, so that the error can say so.
      maxBodyBytes: Number.MAX_SAFE_INTEGER,
      answer: receive,
      onError,
      websocket: {
        maxPayloadLength: MESSAGE_MAX,
        backpressureLimit: BACKPRESSURE_BYTES,
        idleTimeout: 0,
        sendPings: false,
        perMessageDeflate: false,
        open: socket => {
          socket.binaryType = "nodebuffer";
          socket.data.onOpen(socket);
        },
        message: (socket, message) => socket.data.onMessage(message),
        drain: socket => socket.data.onDrain(),
        pong: socket => socket.data.onPong(),
        close: (socket, code, reason) => socket.data.onClose(code, reason),
      },
    });
  }
}

import type { Socket } from "../../protocol/wire.ts";
import type { ServerSocket } from "../http/web-socket.ts";

/** Adapts Bun's server socket to the protocol's. */
export class LinkSocket implements Socket {
  constructor(private readonly ws: ServerSocket) {}

  send(message: Uint8Array | string): boolean {
    // 0 means dropped, with the socket left open; −1 means queued.
    const sent =
      typeof message === "string" ? this.ws.sendText(message) : this.ws.sendBinary(message as Uint8Array<ArrayBuffer>);
    return sent !== 0 || message.length === 0;
  }

  buffered(): number {
    return this.ws.getBufferedAmount();
  }

  close(code: number, reason: string): void {
    this.ws.close(code, reason);
  }

  terminate(): void {
    this.ws.terminate();
  }

  ping(): void {
    this.ws.ping();
  }
}

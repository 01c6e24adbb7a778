// The WebSockets of the broker's server: those of agents, and those that follow a task.
import { MESSAGE_MAX } from "../../protocol/limits.ts";

/** Backpressure limit of an agent's socket, in bytes: above the sum of all credit, so that nothing is ever dropped. */
const BACKPRESSURE_BYTES = 256 * 1024 * 1024;

/** Handles the events of one WebSocket; attached to it when the connection is upgraded. */
export interface SocketHandler {
  onOpen(socket: ServerSocket): void;
  onMessage(message: Uint8Array | string): void;
  onDrain(): void;
  onPong(): void;
  onClose(code: number, reason: string): void;
}

export type ServerSocket = Bun.ServerWebSocket<SocketHandler>;

/** The server that upgrades connections. */
export type WebSocketServer = Bun.Server<SocketHandler>;

/** Passes the events of each WebSocket to its handler. */
export const webSockets: Bun.WebSocketHandler<SocketHandler> = {
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
};

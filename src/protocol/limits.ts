// Every interval, size and close code of the wire, on one page. The text before a constant is its entry in doc/limits.md.

/** Bytes of body in one DATA frame at most; large enough that bulk is limited by copying, not by messages. */
export const DATA_MAX = 64 * 1024;
/** Bytes of body in one DATA frame while other streams have bytes waiting, so that a token waits behind little. */
export const DATA_SHARED = 16 * 1024;
/** Bytes of one v2 frame's payload at most; a larger one ends the connection. */
export const FRAME_MAX = 128 * 1024;
/** Bytes at which a batch of frames leaves as one WebSocket message; a message is at most this and one frame. */
export const BATCH_BYTES = 64 * 1024;
/** Bytes of one WebSocket message that a broker takes from an agent at most. */
export const MESSAGE_MAX = 16 * 1024 * 1024;
/** Bytes of a request or response head (method, path, status, headers) at most. */
export const HEAD_MAX = 96 * 1024;
/** Bytes a stream may have in flight and unread before its receiver has said anything: its first window. */
export const STREAM_WINDOW = 256 * 1024;
/** Bytes to which a stream's window grows while it limits throughput. */
export const STREAM_WINDOW_MAX = 4 * 1024 * 1024;
/** Bytes by which all streams of one connection together may have grown beyond their first windows. */
export const WINDOW_GROWTH = 8 * 1024 * 1024;
/** Bytes of DATA that may be in flight on a connection; given back as they arrive, read or not. */
export const LINK_WINDOW = 8 * 1024 * 1024;
/** Bytes of DATA after whose arrival the connection's window is given back; this is also a sender's word that its socket moves. */
export const LINK_WINDOW_STEP = 128 * 1024;
/** Bytes that may wait in the socket's own buffer before streams hold back, so that a cancel is never behind megabytes. */
export const SOCKET_HIGH_WATER = 256 * 1024;
/** Bytes of answers to a peer (resets, credit, pongs) that may wait while it sends and does not read; beyond it a v2 connection is cut. */
export const UNREAD_MAX = 4 * 1024 * 1024;
/** Streams open at once on one connection at most. */
export const STREAMS_MAX = 65_536;
/** The last stream id of a connection, which closes when it is used up, after some days at full speed. */
export const STREAM_ID_MAX = 4_294_967_000;
/** Bytes buffered for one stream of a v1 peer, which knows no credit; beyond it that stream is reset. */
export const V1_STREAM_BUFFER = 4 * 1024 * 1024;
/** Bytes of body in one v1 response chunk. */
export const V1_CHUNK = 32 * 1024;
/** Bytes of a request body towards a v1 agent, which takes it whole and in one frame; a larger one is refused with 413. */
export const V1_REQUEST_BODY = 64 * 1024 * 1024;
/** Bytes of one frame towards an MCP relay of the 0.9 series, whose socket closes on a larger one; a call that does not fit is refused with 413. */
export const V1_MCP_FRAME = 32 * 1024;
/** Bytes of an MCP answer, or of one event of it, that is held whole because v1 carries it in one frame. */
export const V1_MCP_ANSWER = 16 * 1024 * 1024;
/** MCP calls that a v1 broker may have opened without a request; the oldest is forgotten beyond it. */
export const V1_MCP_OPENED = 1_000;
/** Milliseconds that an MCP server may keep its event stream open after the answer for a v1 broker has been taken from it. */
export const V1_MCP_LINGER_MS = 1_000;
/** Milliseconds between pings on a v2 connection. */
export const PING_MS = 15_000;
/** Pings that a new connection sends one after the other, to learn its round trip. */
export const FIRST_PINGS = 4;
/** Milliseconds of silence after which a connection gets no new streams. */
export const UNROUTABLE_MS = 20_000;
/** Milliseconds of silence after which a v2 connection is closed. */
export const DEAD_MS = 30_000;
/** Milliseconds of silence after which a v1 agent is dropped. */
export const V1_DEAD_MS = 15_000;
/** Milliseconds after which an MCP call at a relay of the 0.9 series counts as lost: one that gives a call up does not say so. */
export const V1_MCP_WAIT_MS = 900_000;
/** Milliseconds of silence after which an MCP connection of wire v1 is closed, at either end. */
export const V1_MCP_DEAD_MS = 45_000;
/**
 * Milliseconds between an agent's pings to a v1 broker. Such a broker ends the connection when a ping comes while it has been
 * writing one frame for five seconds, as a large upload over a slow line is: the fewer, the better.
 */
export const V1_PING_MS = 60_000;
/** Milliseconds of silence after which an agent gives a v1 broker up: two pings and what an answer may take. */
export const V1_BROKER_DEAD_MS = 135_000;
/** Milliseconds between an agent's heartbeats. */
export const HEARTBEAT_MS = 5_000;
/** Milliseconds within which a new connection must register. */
export const REGISTER_MS = 5_000;
/** Bytes of a `register`, or of a `status_update` that lists models, at most: room for MODELS_MAX models. */
export const REGISTER_BYTES = 256 * 1024;
/** Bytes of any other control message, and of the `register` of an agent that brings its key in it. */
export const CONTROL_BYTES = 64 * 1024;
/** Control messages that an agent may send within CONTROL_WINDOW_MS; the connection ends beyond it. */
export const CONTROL_MAX = 20;
/** Milliseconds over which CONTROL_MAX counts. */
export const CONTROL_WINDOW_MS = 1_000;
/** Bytes of the text of an error that comes from the other end; the rest is cut off. */
export const ERROR_TEXT_BYTES = 1024;
/** Milliseconds that a connected agent has to answer a ping when another one wants its id. */
export const HOLDER_MS = 2_000;
/** Messages of an agent that are kept while it waits for its id; the connection ends beyond it. */
export const HELD_MESSAGES = 32;
/** Milliseconds an agent waits for the WebSocket handshake. */
export const DIAL_MS = 10_000;
/** Models one worker may name; the rest of a longer list is left out, with a warning. */
export const MODELS_MAX = 1_000;
/** Characters of a name that comes from outside (model, worker id, worker name, version), and of a value of `agent_config`. */
export const NAME_MAX = 256;
/** Bytes of the names of an agent's models and of what it says of them, beyond which it gives the names alone. */
export const MODEL_DETAILS_BYTES = 64 * 1024;
/** Entries of an `agent_config`; the rest is left out. */
export const CONFIG_ENTRIES = 64;
/** Characters of a key of `agent_config`; an entry with a longer one is left out. */
export const CONFIG_KEY_MAX = 64;
/** Characters of an `agent_config` at most, keys and values together; entries that do not fit are left out. */
export const CONFIG_MAX = 8 * 1024;

/** WebSocket subprotocol by which both ends agree on wire v2. */
export const SUBPROTOCOL = "nfrx.v2";

/** WebSocket close code: done, as agreed. */
export const CLOSE_NORMAL = 1000;
/** WebSocket close code: the peer broke the protocol. */
export const CLOSE_PROTOCOL = 1002;
/** WebSocket close code: not allowed (a wrong key, no register frame, an id in use). */
export const CLOSE_POLICY = 1008;
/** WebSocket close code: the broker restarts; come back. */
export const CLOSE_RESTART = 1012;
/** WebSocket close code: the broker has too many agents; come back later. */
export const CLOSE_FULL = 1013;

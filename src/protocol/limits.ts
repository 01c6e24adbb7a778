// Every interval, size and close code of the wire protocol. The comment of a constant is its entry in doc/limits.md.

/** Maximum body bytes in one DATA frame. Large enough that bulk transfers are limited by copying, not by messages. */
export const DATA_MAX = 64 * 1024;
/**
 * Maximum body bytes in one DATA frame while other streams have data to send, so that a token waits behind little data.
 */
export const DATA_SHARED = 16 * 1024;
/** Maximum payload of one v2 frame, in bytes. A larger one closes the connection. */
export const FRAME_MAX = 128 * 1024;
/** Bytes at which a batch of frames is sent as one WebSocket message. A message is at most this size plus one frame. */
export const BATCH_BYTES = 64 * 1024;
/** Maximum WebSocket message that a broker accepts from an agent, in bytes. */
export const MESSAGE_MAX = 16 * 1024 * 1024;
/** Maximum request or response head (method, path, status, headers), in bytes. */
export const HEAD_MAX = 96 * 1024;
/** Initial flow control window of a stream, in bytes: data in flight and unread before the receiver sends credit. */
export const STREAM_WINDOW = 256 * 1024;
/** Maximum window of a stream, in bytes. A window grows while it limits throughput. */
export const STREAM_WINDOW_MAX = 4 * 1024 * 1024;
/** Maximum growth of all windows of one connection together, in bytes beyond their initial sizes. */
export const WINDOW_GROWTH = 8 * 1024 * 1024;
/** Flow control window of a connection, in bytes of DATA. Credit is returned on arrival, before the data is read. */
export const LINK_WINDOW = 8 * 1024 * 1024;
/**
 * Bytes of received DATA after which connection credit is returned. The credit also shows the sender that its socket
 * moves.
 */
export const LINK_WINDOW_STEP = 128 * 1024;
/** Bytes in the socket's send buffer above which streams pause, so that a cancel does not wait behind megabytes. */
export const SOCKET_HIGH_WATER = 256 * 1024;
/**
 * Maximum unsent replies (resets, credit, pongs) to a v2 peer that sends but does not read, in bytes. Beyond it the
 * connection is closed.
 */
export const UNREAD_MAX = 4 * 1024 * 1024;
/** Maximum number of open streams on one connection. */
export const STREAMS_MAX = 65_536;
/** Last stream ID of a connection. The connection closes when it is used up, after some days at full speed. */
export const STREAM_ID_MAX = 4_294_967_000;
/** Maximum bytes buffered for one stream of a v1 peer, which has no flow control. Beyond it the stream is reset. */
export const V1_STREAM_BUFFER = 4 * 1024 * 1024;
/** Maximum body bytes in one v1 response chunk. */
export const V1_CHUNK = 32 * 1024;
/** Maximum request body for a v1 agent, in bytes: it is sent in one frame. Larger bodies get 413. */
export const V1_REQUEST_BODY = 64 * 1024 * 1024;
/** Maximum frame for a 0.9 MCP relay, in bytes: its socket closes on a larger one. Calls that do not fit get 413. */
export const V1_MCP_FRAME = 32 * 1024;
/** Maximum MCP response, or event of one, that is buffered because v1 sends it in one frame, in bytes. */
export const V1_MCP_ANSWER = 16 * 1024 * 1024;
/** Maximum MCP calls that a v1 broker has opened without a request. Beyond it the oldest is dropped. */
export const V1_MCP_OPENED = 1_000;
/**
 * Time in milliseconds for which an MCP server can keep its event stream open after the response was sent to a v1
 * broker.
 */
export const V1_MCP_LINGER_MS = 1_000;
/** Interval between pings on a v2 connection, in milliseconds. */
export const PING_MS = 15_000;
/** Pings that a new connection sends back to back to measure its round-trip time. */
export const FIRST_PINGS = 4;
/** Silence in milliseconds after which a connection gets no new streams. */
export const UNROUTABLE_MS = 20_000;
/** Silence in milliseconds after which a v2 connection is closed. */
export const DEAD_MS = 30_000;
/** Silence in milliseconds after which a v1 agent is disconnected. */
export const V1_DEAD_MS = 15_000;
/** Timeout of an MCP call at a 0.9 relay, in milliseconds: such a relay does not report that it has dropped a call. */
export const V1_MCP_WAIT_MS = 900_000;
/** Silence in milliseconds after which either end closes an MCP connection of wire v1. */
export const V1_MCP_DEAD_MS = 45_000;
/**
 * Interval between an agent's pings to a v1 broker, in milliseconds. Such a broker closes the connection if a ping
 * arrives while it has been writing one frame for five seconds, as in a large upload over a slow line: rare pings are
 * safer.
 */
export const V1_PING_MS = 60_000;
/** Silence in milliseconds after which an agent drops a v1 broker: two ping intervals plus time for the reply. */
export const V1_BROKER_DEAD_MS = 135_000;
/** Interval between an agent's heartbeats, in milliseconds. */
export const HEARTBEAT_MS = 5_000;
/** Time in milliseconds within which a new connection must register. */
export const REGISTER_MS = 5_000;
/** Maximum `register`, or `status_update` that lists models, in bytes: room for MODELS_MAX models. */
export const REGISTER_BYTES = 256 * 1024;
/** Maximum size of any other control message, and of the `register` of an agent that sends its key in it, in bytes. */
export const CONTROL_BYTES = 64 * 1024;
/** Maximum control messages of an agent within CONTROL_WINDOW_MS. Beyond it the connection is closed. */
export const CONTROL_MAX = 20;
/** Period of CONTROL_MAX, in milliseconds. */
export const CONTROL_WINDOW_MS = 1_000;
/** Minimum time between two reports of free slots to a broker, in milliseconds; from none to some is reported at once. */
export const FREE_REPORT_MS = 100;
/** Maximum length of an error text from the peer, in bytes; the rest is cut off. */
export const ERROR_TEXT_BYTES = 1024;
/** Time in milliseconds for a connected agent to answer a ping when another agent requests its ID. */
export const HOLDER_MS = 2_000;
/** Maximum buffered messages of an agent that waits for its ID. Beyond it the connection is closed. */
export const HELD_MESSAGES = 32;
/** Timeout of an agent's WebSocket handshake, in milliseconds. */
export const DIAL_MS = 10_000;
/** Maximum number of models per worker; the rest is dropped with a warning. */
export const MODELS_MAX = 1_000;
/**
 * Maximum length of a name from outside (model, worker ID, worker name, version) and of a value of `agent_config`, in
 * characters.
 */
export const NAME_MAX = 256;
/** Maximum size of an agent's model names with their details, in bytes. Beyond it only the names are sent. */
export const MODEL_DETAILS_BYTES = 64 * 1024;
/** Maximum number of entries in `agent_config`; the rest is dropped. */
export const CONFIG_ENTRIES = 64;
/** Maximum length of a key of `agent_config`, in characters; entries with longer keys are dropped. */
export const CONFIG_KEY_MAX = 64;
/** Maximum size of `agent_config`, keys and values together, in characters; entries beyond it are dropped. */
export const CONFIG_MAX = 8 * 1024;

/** Why an agent refuses a request whose slot another broker has taken: the message of RESET `refused`. */
export const BUSY = "busy";

/** WebSocket subprotocol by which both ends agree on wire v2. */
export const SUBPROTOCOL = "nfrx.v2";

/** WebSocket close code: normal closure. */
export const CLOSE_NORMAL = 1000;
/** WebSocket close code: the peer violated the protocol. */
export const CLOSE_PROTOCOL = 1002;
/** WebSocket close code: not allowed (wrong key, missing register frame, ID in use). */
export const CLOSE_POLICY = 1008;
/** WebSocket close code: the broker restarts; reconnect. */
export const CLOSE_RESTART = 1012;
/** WebSocket close code: the broker has too many agents; reconnect later. */
export const CLOSE_FULL = 1013;

/** The other end of a plain pipe: takes request bodies as cheaply as our readers take theirs. Writes its port on stdout, ends when stdin does. */

interface State {
  /** Bytes still to come of a body; 0 between requests. */
  left: number;
}

const EMPTY_OK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

const listener = Bun.listen<State>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      socket.data = { left: 0 };
    },
    data(socket, bytes) {
      const { data } = socket;
      if (data.left > 0) data.left -= bytes.length;
      else {
        // Heads come in one piece on loopback, and nobody here pipelines.
        const end = bytes.indexOf("\r\n\r\n") + 4;
        const length = /\r\ncontent-length: *(\d+)/i.exec(bytes.toString("latin1", 0, end))?.[1] ?? "0";
        data.left = Number(length) - (bytes.length - end);
      }
      if (data.left === 0) socket.write(EMPTY_OK);
      else if (data.left < 0) socket.terminate();
    },
  },
});

process.stdout.write(`${JSON.stringify({ port: listener.port })}\n`);
for await (const _ of Bun.stdin.stream()) {
  // The end of its stdin is the end of the bench.
}
process.exit(0);

export {};

/** The other end of an exporter of traces: takes what is posted, as cheaply as can be. Writes its port on stdout, ends when stdin does. */
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    await request.bytes();
    return Response.json({});
  },
});

process.stdout.write(`${JSON.stringify({ port: server.port })}\n`);
for await (const _ of Bun.stdin.stream()) {
  // The end of its stdin is the end of the bench.
}
process.exit(0);

export {};

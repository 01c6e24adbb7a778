// Sends a file through a transfer channel, or receives one.
import { parseArgs } from "node:util";
import { Nfrx } from "./nfrx/api.ts";
import { BINARY, HELP_OPTION, main, note, UsageError } from "./nfrx/cli.ts";
import { fileBody, saveTo } from "./nfrx/files.ts";

const USAGE = `transfer send [--channel ID] [--content-type TYPE] FILE
transfer receive [--channel ID] [--output FILE]

Moves one file from a sender to a receiver through the broker, which keeps nothing of it. Either side may come first: it
prints the id of a new channel, which the other side names with --channel within a minute.

  --channel ID         use this channel instead of a new one
  --content-type TYPE  what the file is (default: application/octet-stream)
  --output FILE        where to write it (default: stdout)

Environment: NFRX_URL (default: http://localhost:8080), and API_KEY or CLIENT_KEY.`;

await main(async signal => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      ...HELP_OPTION,
      channel: { type: "string" },
      "content-type": { type: "string", default: BINARY },
      output: { type: "string" },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const [verb, file, ...rest] = positionals;
  const sends = verb === "send" && file !== undefined && rest.length === 0;
  if (!sends && !(verb === "receive" && file === undefined)) throw new UsageError("try --help");

  const nfrx = Nfrx.fromEnvironment("API_KEY", "CLIENT_KEY");
  const body = sends ? await fileBody(file) : undefined;
  let { channel } = values;
  if (channel === undefined) {
    const created = await nfrx.createChannel();
    channel = created.channel_id;
    note(`channel ${channel} (until ${created.expires_at})`);
  }
  if (body) {
    await nfrx.send(channel, body, values["content-type"], signal);
    note(`sent ${body.size} bytes`);
  } else {
    const incoming = await nfrx.receive(channel, signal);
    await saveTo(values.output, incoming.chunks);
    note(`received ${incoming.contentType}`);
  }
  return 0;
});

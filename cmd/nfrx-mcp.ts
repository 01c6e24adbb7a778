import { main } from "./main.ts";
import { nfrxMcp } from "./programs.ts";

await main(
  nfrxMcp,
  values => values,
  async ({ log }) => {
    log.fatal({}, "this version knows the options of nfrx-mcp but does not serve yet");
    return 1;
  },
);

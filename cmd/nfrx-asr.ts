import { main } from "./main.ts";
import { nfrxAsr } from "./programs.ts";

await main(
  nfrxAsr,
  values => values,
  async ({ log }) => {
    log.fatal({}, "this version knows the options of nfrx-asr but does not serve yet");
    return 1;
  },
);

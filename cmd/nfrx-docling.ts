import { main } from "./main.ts";
import { nfrxDocling } from "./programs.ts";

await main(
  nfrxDocling,
  values => values,
  async ({ log }) => {
    log.fatal({}, "this version knows the options of nfrx-docling but does not serve yet");
    return 1;
  },
);

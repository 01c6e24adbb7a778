import { option } from "./option.ts";

const DAY = 86_400_000;

/** Keys, usage and administration. */
export const peopleOptions = {
  keysStore: option.text({
    env: "KEYS_STORE",
    path: "file",
    words: ["memory"],
    default: "",
    defaultNote: "nfrx.db beside jobs.db",
    help: "Where keys, usage and the audit are stored: a file, which only one broker can use, or memory.",
  }),
  usageRetentionMs: option.duration({
    env: "USAGE_RETENTION",
    default: "400d",
    min: DAY,
    max: 3_660 * DAY,
    help: "Retention time of usage.",
  }),
  controlSocket: option.text({
    env: "CONTROL_SOCKET",
    path: "file",
    words: ["none"],
    default: "",
    defaultNote:
      "nfrx.sock in $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/nfrx or /run/nfrx, on macOS in /var/run/nfrx or ~/Library/Application Support/nfrx; none on Windows",
    help: "Unix socket for administration on this machine, without a key; none for no socket.",
  }),
};

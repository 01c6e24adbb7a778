import { options } from "./group.ts";
import { option } from "./option.ts";

/** Options of every program. */
export const commonOptions = options("Log", {
  logLevel: option.choice({
    env: "LOG_LEVEL",
    values: ["all", "debug", "info", "warn", "error", "fatal", "none"],
    default: "info",
    help: "Lowest level to log: all, debug, info, warn, error, fatal or none.",
  }),
  logFormat: option.choice({
    env: "LOG_FORMAT",
    values: ["auto", "pretty", "json"],
    default: "auto",
    help: "Format of the log on standard error: pretty or json. auto is pretty on a terminal and json elsewhere.",
  }),
});

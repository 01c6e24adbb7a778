// The exports of "nfrx/plugin": everything to declare a module, nothing of the runtime.
export { z } from "zod";
export type { OptionGroup, Values } from "../config/group.ts";
export { options } from "../config/group.ts";
export { option } from "../config/option.ts";
export { baseUrl, text } from "../config/values.ts";
export type { ErrorCode } from "../lib/errors.ts";
export { NfrxError } from "../lib/errors.ts";
export { html } from "../lib/html.ts";
export type { Logger } from "../lib/log.ts";
export type { Clock, Timer } from "../lib/time.ts";
export type { BackendSpec, ModuleSpec } from "./define.ts";
export { defineModule } from "./define.ts";
export type * from "./module.ts";
export { MODULE_API } from "./module.ts";
export { eventOptions, matchOptions, poolSettings, queueOptions } from "./pool-options.ts";
export type * from "./route.ts";
/** The routes of a module, as a plugin declares them. */
export type { ModuleRoute as Route } from "./route.ts";
export type { ModuleState } from "./state.ts";

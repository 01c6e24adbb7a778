// The same as a file: a plugin may be either.
export { default } from "./translate/index.ts";

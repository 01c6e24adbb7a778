// Leaves out of the programs what a bundler cannot know to be of no use.
import type { BunPlugin } from "bun";

/** zod's messages in fifty languages: whoever imports `z` has them all, an eighth of the code. English stays. */
export const lean: BunPlugin = {
  name: "lean",
  setup(build) {
    build.onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
      loader: "js",
    }));
  },
};

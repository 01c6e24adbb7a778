import { type NewKey, newKey } from "../../../src/broker/people/key-shape.ts";
import { People } from "../../../src/broker/people/people.ts";
import { SqlitePeopleStore } from "../../../src/broker/people/sqlite-store.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { MEMORY_PATH } from "../../../src/lib/sqlite.ts";
import { type Clock, systemClock } from "../../../src/lib/time.ts";
import { World, type WorldOptions } from "../world.ts";

/** Keys and a ledger, in memory or in a file. */
function openPeople(path: string, clock: Clock = systemClock): Promise<People> {
  const store = new SqlitePeopleStore(path, clock);
  return People.open({ store, clock, log: silentLog, retentionMs: 400 * 86_400_000 });
}

/** A world whose broker has keys of people. */
export async function peopledWorld({ keysFile = MEMORY_PATH, ...options }: WorldOptions & { keysFile?: string } = {}) {
  const people = await openPeople(keysFile, options.clock);
  const world = new World({ ...options, people });
  return {
    people,
    world,
    /** Makes a key; the text that opens it. */
    key: async (spec: Partial<NewKey> & { name: string }): Promise<string> => {
      const made = await people.keys.add({ ...newKey.parse({ name: spec.name }), ...spec }, "test");
      return made.secret;
    },
    async [Symbol.asyncDispose]() {
      await world.stop();
      await people.close();
    },
  };
}

import { networkOf } from "../../../lib/network.ts";
import type { Principal } from "../../../modules/route.ts";
import { NO_CREDENTIAL } from "../access/principal.ts";
import { CALLER_SHARE } from "../access/shares.ts";
import type { BodyLimits } from "./body.ts";
import { type Pace, SmallBodies } from "./body-source.ts";
import { Budget } from "./budget.ts";
import { Spool } from "./spool.ts";

export interface BodiesOptions {
  maxBufferedBytes: number;
  maxSpooledBytes: number;
  uploadSpoolDir: string;
  maxBodyBytes: number;
  maxUploadBytes: number;
  pace: Pace;
}

/** Memory and disk that all request bodies of a broker share. */
export class Bodies {
  readonly memory: Budget;
  readonly disk: Budget;
  readonly spool: Spool;
  readonly #small: SmallBodies;

  constructor(private readonly options: BodiesOptions) {
    const { maxBufferedBytes: memory, maxSpooledBytes: disk, maxBodyBytes, maxUploadBytes } = options;
    const share = (all: number, one: number): number => Math.max(all * CALLER_SHARE, one);
    this.memory = new Budget(memory, "too many request bodies in memory", share(memory, maxBodyBytes));
    this.disk = new Budget(disk, "too many uploads on disk", share(disk, maxUploadBytes));
    this.spool = new Spool(options.uploadSpoolDir, this.disk);
    this.#small = new SmallBodies(options.pace);
  }

  /** Limits for bodies of at most `maxBytes`. */
  limits(maxBytes: number): BodyLimits {
    const { pace } = this.options;
    return {
      maxBytes,
      memory: this.memory,
      spool: this.spool,
      pace,
      small: this.#small,
      holders: holdersOf,
    };
  }
}

/** A caller, by its key, and the address, or /64 network, it calls from. */
function holdersOf({ credential, address }: Principal): string[] {
  const network = `address ${networkOf(address)}`;
  return credential === NO_CREDENTIAL ? [network] : [network, `caller ${credential}`];
}

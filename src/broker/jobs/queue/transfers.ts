import { NfrxError } from "../../../lib/errors.ts";
import type { JsonText } from "../../http/body/json-body.ts";
import type { JobTransfer } from "../job.ts";
import { type Change, type Proof, requireHolder } from "../machine.ts";
import type { JobStore } from "../store/store.ts";
import { type JobChanges, jobNotFound } from "./changes.ts";
import type { Channels } from "./channels.ts";

/** Request for a channel. */
export interface TransferRequest {
  readonly role: JobTransfer["role"];
  readonly key: string;
  readonly properties?: JsonText | undefined;
  /** The caller to whom the channel is attributed. */
  readonly caller: string;
}

export interface JobTransfersOptions {
  readonly store: JobStore;
  readonly channels: Channels;
  readonly changes: JobChanges;
  /** Bytes of a job's transfer have passed. */
  readonly onProgress: (id: string) => void;
}

/** The transfer channels of jobs. */
export class JobTransfers {
  readonly #options: JobTransfersOptions;

  constructor(options: JobTransfersOptions) {
    this.#options = options;
  }

  /** Opens a channel for a job's worker and notifies its client. */
  async open(id: string, by: Proof, { role, key, properties, caller }: TransferRequest): Promise<JobTransfer> {
    const { channels, store, changes } = this.#options;
    const known = await store.get(id);
    if (known === undefined) throw jobNotFound();
    requireHolder(known, by);
    const { claim } = known;
    const client = role === "payload" ? "writer" : "reader";
    const channel = channels.create({
      client,
      caller,
      forJob: true,
      onProgress: () => this.#progress(id, claim?.id ?? ""),
    });
    const { id: channelId, expiresAt } = channel;
    // The claim that was seen is the claim that gets the channel.
    const proof = { claimId: claim?.id, workerId: by.workerId };
    const change: Change = { does: "transfer", by: proof, transfer: { role, key, channelId, expiresAt, properties } };
    try {
      const job = await changes.apply(id, change);
      const transfer = job.transfers.find(one => one.channelId === channelId);
      if (transfer === undefined) throw new NfrxError("internal", "discarding a transfer that was not stored");
      return transfer;
    } catch (error) {
      channels.close(channelId);
      throw error;
    }
  }

  /** A running transfer counts as activity of the worker and of the client. */
  #progress(id: string, claimId: string): void {
    this.#options.store.renew(id, claimId).catch(() => {});
    this.#options.onProgress(id);
  }
}

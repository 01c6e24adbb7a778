import type { ErrorCode } from "../../lib/errors.ts";
import type { Cell, Numbers } from "../../lib/series.ts";
import type { BrokerMetrics } from "../observe/metrics.ts";
import type { TransferEnd } from "./channel.ts";

/** Metrics of the transfer channels. */
export class TransferMetrics {
  readonly #bytes: Cell;
  readonly #ended: Numbers<"outcome">;
  readonly #channels: Numbers<"state">;

  constructor(private readonly metrics: Pick<BrokerMetrics, "meters" | "refused" | "unhandled">) {
    const { meters } = metrics;
    this.#bytes = meters.counter("nfrx_transfer_bytes_total", "Bytes received from writers.").cell({});
    this.#ended = meters.counter("nfrx_transfers_total", "Finished transfer channels, by outcome.", ["outcome"]);
    this.#channels = meters.gauge("nfrx_transfer_channels", "Open transfer channels, by state: waiting, running.", [
      "state",
    ]);
  }

  /** Shows how many channels there are. */
  watch(channels: { readonly waiting: number; readonly running: number }): void {
    this.#channels.read(set => {
      set({ state: "waiting" }, channels.waiting);
      set({ state: "running" }, channels.running);
    });
  }

  bytes(count: number): void {
    this.#bytes.value += count;
  }

  ended(outcome: TransferEnd): void {
    this.#ended.cell({ outcome }).value++;
  }

  refused(reason: ErrorCode): void {
    this.metrics.refused(reason);
  }

  unhandled(): void {
    this.metrics.unhandled();
  }
}

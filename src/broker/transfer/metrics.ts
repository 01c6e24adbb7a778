import { type Cell, CellCounter } from "../../lib/series.ts";
import type { BrokerMetrics } from "../observe/metrics.ts";
import type { TransferEnd } from "./transfers.ts";

/** What the transfer channels count. */
export class TransferMetrics {
  readonly #bytes: Cell;
  readonly #ended: CellCounter<"outcome">;

  constructor(private readonly metrics: Pick<BrokerMetrics, "registry" | "observe" | "refused" | "unhandled">) {
    const registers = [metrics.registry];
    const name = "nfrx_transfer_bytes_total";
    this.#bytes = new CellCounter({ name, help: "Bytes taken from writers.", labelNames: [], registers }).cell({});
    this.#ended = new CellCounter({
      name: "nfrx_transfers_total",
      help: "Transfer channels that ended, by how.",
      labelNames: ["outcome"],
      registers,
    });
  }

  /** Shows how many channels there are. */
  watch(channels: { readonly waiting: number; readonly running: number }): void {
    this.metrics.observe("nfrx_transfer_channels", "Transfer channels that are open.", ["state"], set => {
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

  refused(reason: string): void {
    this.metrics.refused(reason);
  }

  unhandled(): void {
    this.metrics.unhandled();
  }
}

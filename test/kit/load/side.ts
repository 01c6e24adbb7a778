/** Runs `work` so many times side by side. */
export async function side(count: number, work: (n: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, n) => work(n)));
}

/** A whole number below this one. */
export const random = (below: number): number => Math.floor(Math.random() * below);

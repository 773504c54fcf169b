/** Load in a closed loop: each client asks again as soon as it has its answer. */

/** What a load has shown. */
export interface LoadFigures {
  /** Operations a second. */
  rate: number;
  p50Ms: number;
  p99Ms: number;
}

/** Runs `operation` from `clients` clients for `durationMs`. Rejects with the first failure. */
export async function closedLoop(
  clients: number,
  durationMs: number,
  operation: (nth: number) => Promise<unknown>,
): Promise<LoadFigures> {
  const latencies: number[] = [];
  const start = performance.now();
  let nth = 0;
  const client = async () => {
    for (let begin = start; begin - start < durationMs;) {
      await operation(nth++);
      const end = performance.now();
      latencies.push(end - begin);
      begin = end;
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const seconds = (performance.now() - start) / 1000;
  latencies.sort((a, b) => a - b);
  const quantile = (q: number) => latencies[Math.floor(latencies.length * q)] ?? 0;
  return { rate: latencies.length / seconds, p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
}

/** Figures in a line. */
export function describeLoad({ rate, p50Ms, p99Ms }: LoadFigures): string {
  return `${rate.toFixed(0).padStart(6)}/s, p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`;
}

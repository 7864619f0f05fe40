import { sha256 } from "./loopback.ts";
import type { VirgaGuest } from "./net-guest.ts";
import { seededRandom } from "./seeded-random.ts";

const LOSS = 0.01;
const AT_ONCE = 4;
/** A transfer that takes longer hangs. */
const HANG_MS = 120_000;

export interface SoakReport {
  readonly transfers: number;
  readonly right: number;
  readonly reset: number;
  readonly wrong: number;
  readonly hung: number;
  readonly evictions: number;
}
export interface SoakOptions {
  readonly tunnel: VirgaGuest;
  readonly evict: () => Promise<void>;
  /** A server that sends the same bytes to everyone. */
  readonly port: number;
  readonly expected: string;
  /** How often the object is evicted, each time after a few transfers have begun. */
  readonly rounds: number;
  readonly seed: number;
  /** Between evictions; 0: as soon as a round's transfers are half way. */
  readonly pauseMs?: number;
}

type Fate = "right" | "reset" | "wrong" | "hung";

async function transfer({ tunnel, port, expected }: SoakOptions): Promise<Fate> {
  const connection = tunnel.guest.connect("127.0.0.1", port);
  let timer: NodeJS.Timeout | undefined;
  const hung = new Promise<"hung">((resolve) => (timer = setTimeout(() => resolve("hung"), HANG_MS)));
  const fate = connection.whole().then(
    (bytes): Fate => (sha256(bytes) === expected ? "right" : "wrong"),
    (): Fate => "reset",
  );
  const result = await Promise.race([fate, hung]);
  clearTimeout(timer);
  return result;
}

/** Transfers over a line that loses one frame in a hundred in each direction, while the object is evicted again and again. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { tunnel, rounds, seed, pauseMs = 0 } = options;
  const random = seededRandom(seed);
  tunnel.loss = { share: LOSS, random };
  const fates: Fate[] = [];
  const end = new AbortController();
  const worker = async (): Promise<void> => {
    while (!end.signal.aborted) {
      await tunnel.ready();
      fates.push(await transfer(options));
    }
  };
  const workers = Array.from({ length: AT_ONCE }, worker);
  for (let round = 0; round < rounds; round++) {
    const before = fates.length;
    const endMs = performance.now() + pauseMs;
    while (fates.length < before + AT_ONCE || performance.now() < endMs)
      await new Promise((resolve) => setTimeout(resolve, 20));
    await options.evict();
  }
  end.abort();
  await Promise.all(workers);
  const count = (fate: Fate): number => fates.filter((known) => known === fate).length;
  const [right, reset, wrong, hung] = [count("right"), count("reset"), count("wrong"), count("hung")];
  return { transfers: fates.length, right, reset, wrong, hung, evictions: rounds };
}

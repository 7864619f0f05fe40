import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { measureStack } from "./net/stack.ts";
import type { Result } from "./report.ts";

/**
 * The tunnel against a bare pipe (a WebSocket through an object to `connect()`) in the same workerd and run, and against a
 * Wisp server that does the same work. The client, the world, the Wisp server and what starts workerd are processes of their
 * own, so that nobody's garbage is collected in somebody else's time. How a client's heap settles differs from one process to
 * the next: three are asked, and the median counts.
 */
const CLIENTS = 3;

/** By what it is compared with, if it is. */
const median = (results: readonly Result[]): Result =>
  results.toSorted((a, b) => (a.ratio ?? a.value) - (b.ratio ?? b.value))[results.length >> 1]!;

interface Part<T> {
  /** The line of JSON that it says first. */
  readonly told: T;
  readonly child: ChildProcess;
}

async function start<T>(
  name: string,
  flags: string[] = [],
  task: unknown = {},
  env: Record<string, string> = {},
): Promise<Part<T>> {
  const program = [...flags, `tests/bench/net/${name}-process.ts`, JSON.stringify(task)];
  const child = spawn(process.execPath, program, {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  const lines = createInterface(child.stdout);
  const gone = once(child, "exit").then(([code]) => {
    throw new Error(`The bench's ${name} ended with ${String(code)} before it had said anything.`);
  });
  gone.catch(() => {});
  const [line] = (await Promise.race([once(lines, "line"), gone])) as [string];
  return { told: JSON.parse(line) as T, child };
}

async function stop({ child }: Part<unknown>): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = once(child, "exit");
  child.stdin?.end();
  await gone;
}

/** The stack alone first, while nothing else runs. */
export async function measure(): Promise<readonly Result[]> {
  return [...measureStack(), ...(await measureTunnel()), ...(await measureMemory())];
}

/** What connections hold, not when V8 happens to collect what they have dropped: after each MiB here. */
const collects = { MINIFLARE_WORKERD_V8_FLAGS: "--max-semi-space-size=1 --gc-global" };

async function measureMemory(): Promise<readonly Result[]> {
  const world = await start<{ echo: number }>("loopback");
  const kibPerFlow = async (of: "tunnel" | "bare-socket"): Promise<number> => {
    const site = await start<{ url: string }>("site", [], {}, collects);
    try {
      const task = { url: site.told.url, echo: world.told.echo, site: site.child.pid, of };
      const { told } = await start<number | null>("memory", [], task);
      return told ?? NaN;
    } finally {
      await stop(site);
    }
  };
  try {
    const value = await kibPerFlow("tunnel");
    // Only where there is a /proc.
    if (Number.isNaN(value)) return [];
    const ratio = value / (await kibPerFlow("bare-socket"));
    return [{ name: "memory-per-flow", value, unit: "KiB of workerd", peer: "bare socket", ratio }];
  } finally {
    await stop(world);
  }
}

async function measureTunnel(): Promise<readonly Result[]> {
  const world = await start<object>("loopback");
  const site = await start<{ url: string }>("site");
  const reference = await start<{ url: string }>("wisp");
  try {
    const where = { url: site.told.url, reference: reference.told.url, ports: world.told };
    const runs: (readonly Result[])[] = [];
    for (let run = 0; run < CLIENTS; run++) {
      const task = { ...where, site: site.child.pid, isWhole: run === CLIENTS - 1 };
      const client = await start<readonly Result[]>("client", ["--max-semi-space-size=1"], task);
      await stop(client);
      runs.push(client.told);
    }
    const named = (name: string) => runs.flatMap((results) => results.filter((row) => row.name === name));
    return runs.at(-1)!.map(({ name }) => median(named(name)));
  } finally {
    await Promise.all([world, site, reference].map(stop));
  }
}

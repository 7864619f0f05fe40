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

async function start<T>(name: string, flags: string[] = [], task: unknown = {}): Promise<Part<T>> {
  const program = [...flags, `tests/bench/net/${name}-process.ts`, JSON.stringify(task)];
  const child = spawn(process.execPath, program, { stdio: ["pipe", "pipe", "inherit"] });
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
  return [...measureStack(), ...(await measureTunnel())];
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

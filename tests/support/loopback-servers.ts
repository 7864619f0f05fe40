import { afterAll, beforeAll } from "vitest";
import type { LoopbackServer } from "./loopback.ts";

/** Servers for all tests of one file, started before the first and closed after the last. */
export function loopbackServers<Name extends string>(
  make: Readonly<Record<Name, () => Promise<LoopbackServer>>>,
): Record<Name, LoopbackServer> {
  const servers = {} as Record<Name, LoopbackServer>;
  beforeAll(async () => {
    for (const name of Object.keys(make) as Name[]) servers[name] = await make[name]();
  });
  afterAll(async () => {
    for (const server of Object.values<LoopbackServer>(servers)) await server.close();
  });
  return servers;
}

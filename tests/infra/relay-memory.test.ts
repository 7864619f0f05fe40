import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { echoServer } from "../support/loopback.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { type GuestConnection, VirgaGuest } from "../support/net-guest.ts";

/** What a connection costs behind the doors: stack, host, policy and a socket of Node, in a relay in a process of its own. */
const servers = loopbackServers({ echo: echoServer });
const [FEW, MANY] = [50, 1000];
let child: ChildProcess;
let url = "";
const heard = async <T>(): Promise<T> => ((await once(child, "message")) as [T])[0];
beforeAll(async () => {
  const execArgv = ["--expose-gc", "--disable-warning=ExperimentalWarning"];
  child = fork(join(import.meta.dirname, "../support/relay-child.ts"), { execArgv });
  url = await heard<string>();
});
afterAll(() => void child?.kill());

async function heldBytes(): Promise<number> {
  child.send("how much?");
  return heard<number>();
}

test(
  `an idle connection costs less than 8 KiB, so that 1,000 fit into 64 MB many times over`,
  { timeout: 240_000 },
  async () => {
    const tunnel = await new VirgaGuest(`${url}/l2`).ready();
    const flows: GuestConnection[] = [];
    const openUpTo = async (count: number): Promise<void> => {
      const fresh = Array.from({ length: count - flows.length }, () =>
        tunnel.guest.connect("127.0.0.1", servers.echo.port),
      );
      flows.push(...fresh);
      for (const flow of fresh) {
        await flow.write(Buffer.from("hello"));
        while (flow.receivedBytes < 5) await flow.change();
      }
    };
    await openUpTo(FEW);
    const few = await heldBytes();
    await openUpTo(MANY);
    expect(servers.echo.open.size).toBe(MANY);
    const perFlow = ((await heldBytes()) - few) / (MANY - FEW);
    console.log(`${(perFlow / 1024).toFixed(2)} KiB a connection, at ${MANY} of them`);
    expect(perFlow).toBeLessThan(8192);
    tunnel.stop();
  },
);

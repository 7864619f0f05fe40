import { expect, test } from "vitest";
import { echoServer } from "../support/loopback.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { VirgaGuest } from "../support/net-guest.ts";
import { TestSocket, tunnelSite, visitorHeaders } from "../support/tunnel-site.ts";

const site = tunnelSite();
const servers = loopbackServers({ echo: echoServer });
/** workerd puts an object to sleep that was left alone for ten seconds. */
const LEFT_ALONE_MS = 11_000;

async function visit() {
  const headers = await visitorHeaders(site);
  const url = new URL("/l2", site.url).href.replace(/^http/, "ws");
  const machine = await new VirgaGuest(url, { headers }).ready();
  const connection = machine.guest.connect("127.0.0.1", servers.echo.port);
  await connection.write(Buffer.from("hello"));
  while (connection.receivedBytes < 5) await connection.change();
  return { headers, machine, connection };
}
/** Another connection of the guest, from its beginning to its end. */
async function echo({ guest }: VirgaGuest): Promise<string> {
  const connection = guest.connect("127.0.0.1", servers.echo.port);
  await connection.write(Buffer.from("again"));
  connection.end();
  return (await connection.whole()).toString();
}
/** How often objects have come to life. The register has heard of it before anything is dialled. */
async function wakes(): Promise<number> {
  const text = await (await fetch(new URL("/metrics", site.url))).text();
  return Number(/^virga_objects_woken_total (\d+)$/m.exec(text)![1]);
}

test(
  "an idle tunnel sleeps by itself, its sockets open; a connection keeps one awake",
  { timeout: 240_000 },
  async () => {
    const [idle, busy] = [await visit(), await visit()];
    // A door of another protocol, without a stream, keeps nothing awake either.
    const wisp = await TestSocket.open(site, "/wisp/", [], idle.headers);
    idle.connection.end();
    expect((await idle.connection.whole()).toString()).toBe("hello");
    const before = await wakes();
    expect(before).toBeGreaterThanOrEqual(2);
    const wakesAfterPause = async (): Promise<number> => {
      await idle.machine.quiet();
      await new Promise((resolve) => setTimeout(resolve, LEFT_ALONE_MS));
      expect(await echo(idle.machine)).toBe("again");
      return wakes();
    };
    await expect.poll(wakesAfterPause, { timeout: 200_000 }).toBeGreaterThan(before);
    // It went on where it was, in the same session.
    expect([idle.machine.sessions, idle.machine.resumed]).toEqual([1, 0]);
    expect(wisp.closed).toBeUndefined();
    // The connection that was open all the time has lost nothing.
    await busy.connection.write(Buffer.from("still there"));
    busy.connection.end();
    expect((await busy.connection.whole()).toString()).toBe("hellostill there");
    wisp.drop();
    idle.machine.stop();
    busy.machine.stop();
  },
);

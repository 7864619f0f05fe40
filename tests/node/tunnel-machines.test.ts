import { request } from "node:http";
import { describe, expect, test } from "vitest";
import type { PublishedPort } from "#protocol/published-port.ts";
import { sidOf } from "../support/forget-tunnel.ts";
import { VirgaGuest } from "../support/net-guest.ts";
import { tunnelSite, visitorHeaders } from "../support/tunnel-site.ts";

const site = tunnelSite();
type Headers = Record<string, string>;

/** A machine at this address, whose server at port 80 says who it is. */
async function join(path: string, address: string, name: string, headers: Headers): Promise<VirgaGuest> {
  const url = new URL(path, site.url).href.replace(/^http/, "ws");
  const machine = await new VirgaGuest(url, { address, headers }).ready();
  machine.guest.listen(80, "10.0.2.2", (connection) => {
    const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`;
    void connection.write(Buffer.from(answer)).then(() => connection.end());
  });
  return machine;
}
/** It says something, so that its gateway knows it. */
const speak = (machine: VirgaGuest): Promise<unknown> =>
  machine.guest
    .connect("10.99.0.1", 80)
    .whole()
    .catch(() => undefined);

async function publish(headers: Headers, wish: object): Promise<PublishedPort> {
  const response = await fetch(new URL("/api/ports", site.url), {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ port: 80, access: "public", ...wish }),
  });
  expect(response.status).toBe(201);
  return (await response.json()) as PublishedPort;
}
/** `<id>.localhost` is this machine, whatever its resolver thinks. */
function ask({ url: address }: PublishedPort): Promise<string> {
  const url = new URL(address);
  return new Promise((resolve, reject) => {
    const asking = request(
      { host: "127.0.0.1", port: url.port, path: url.pathname, headers: { host: url.host } },
      (response) => {
        let body = "";
        response.on("data", (piece: Buffer) => (body += piece.toString()));
        response.on("error", reject);
        response.on("end", () =>
          resolve(response.statusCode === 200 ? body : `${response.statusCode} ${body}`),
        );
      },
    );
    asking.on("error", reject);
    asking.end();
  });
}
/** The hardware address that a test's guest has. */
const macOf = (address: string): string =>
  `0200000001${Number(address.split(".")[3]).toString(16).padStart(2, "0")}`;

describe("a published port belongs to the machine that published it", () => {
  test("of two in one session, each with a LAN of its own, whichever was started last", async () => {
    const headers = await visitorHeaders(site);
    const first = await join("/l2", "10.0.2.15", "first", headers);
    await speak(first);
    const port = await publish(headers, { machine: macOf("10.0.2.15") });
    const second = await join("/l2", "10.0.2.16", "second", headers);
    await speak(second);
    const other = await publish(headers, { machine: macOf("10.0.2.16") });
    expect(other.id).not.toBe(port.id);
    expect([await ask(port), await ask(other)]).toEqual(["first", "second"]);
    first.stop();
    await expect.poll(() => ask(other), { timeout: 20_000 }).toBe("second");
    second.stop();
  });

  test("of several in a room", async () => {
    const owner = await visitorHeaders(site);
    const made = await fetch(new URL("/api/lans", site.url), {
      method: "POST",
      headers: { ...owner, "content-type": "application/json" },
      body: JSON.stringify({}),
    });
    const { tunnelPath, invite } = (await made.json()) as { tunnelPath: string; invite: string };
    const machines = await Promise.all(
      ["10.0.2.20", "10.0.2.21"].map((address) => join(tunnelPath, address, `at ${address}`, owner)),
    );
    for (const machine of machines) await speak(machine);
    const ports = [
      await publish(owner, { machine: macOf("10.0.2.20"), lan: invite }),
      await publish(owner, { machine: macOf("10.0.2.21"), lan: invite }),
    ];
    expect(await Promise.all(ports.map(ask))).toEqual(["at 10.0.2.20", "at 10.0.2.21"]);
    const foreign = await fetch(new URL("/api/ports", site.url), {
      method: "POST",
      headers: { ...owner, "content-type": "application/json" },
      body: JSON.stringify({ port: 80, access: "public", lan: `${"0".repeat(32)}.${"A".repeat(32)}` }),
    });
    expect(foreign.status).toBe(404);
    for (const machine of machines) machine.stop();
  });

  test("and still does after its tunnel has slept and forgotten who is there", async () => {
    const headers = await visitorHeaders(site);
    const machine = await join("/l2", "10.0.2.17", "awake again", headers);
    await speak(machine);
    const port = await publish(headers, { machine: macOf("10.0.2.17") });
    expect(await ask(port)).toBe("awake again");
    await machine.quiet();
    await site.server
      .getWorker()
      .evictDurableObject("TUNNEL", { name: sidOf(headers), webSockets: "hibernate" });
    expect(await ask(port)).toBe("awake again");
    expect(machine.sessions).toBe(1);
    machine.stop();
  });
});

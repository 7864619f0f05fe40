import { describe, expect, test } from "vitest";
import { pattern, sha256 } from "../support/loopback.ts";
import { VirgaGuest } from "../support/net-guest.ts";
import { TestSocket, tunnelSite, visitorHeaders } from "../support/tunnel-site.ts";

const site = tunnelSite();
const file = pattern(2 ** 20, 5);

async function makeRoom(wish: object = {}): Promise<string> {
  const response = await fetch(new URL("/api/lans", site.url), {
    method: "POST",
    headers: { ...(await visitorHeaders(site)), "content-type": "application/json" },
    body: JSON.stringify(wish),
  });
  expect(response.status).toBe(201);
  return ((await response.json()) as { tunnelPath: string }).tunnelPath;
}
const join = async (path: string, address: string): Promise<VirgaGuest> =>
  new VirgaGuest(new URL(path, site.url).href.replace(/^http/, "ws"), {
    address,
    headers: await visitorHeaders(site),
  }).ready();

/** Answers the hash of what came. */
async function copyBetweenTwo(path: string): Promise<string> {
  const [alice, bob] = await Promise.all([join(path, "10.0.2.21"), join(path, "10.0.2.30")]);
  bob.guest.listen(80, "10.0.2.21", (connection) => {
    void connection.write(file).then(() => connection.end());
  });
  // The hardware addresses that ARP would find.
  alice.guest.knows("10.0.2.30", Uint8Array.of(2, 0, 0, 0, 1, 30));
  const bytes = await alice.guest.connectTo("10.0.2.30", 80).whole();
  alice.stop();
  bob.stop();
  return sha256(bytes);
}

describe("a room", () => {
  test("two machines copy a file", async () => {
    expect(await copyBetweenTwo(await makeRoom())).toBe(sha256(file));
  });

  test("over a link that is late, slow and loses frames", async () => {
    const path = await makeRoom({ delayMs: 5, loss: 0.01, bytesPerSecond: 4_000_000, seed: 42 });
    expect(await copyBetweenTwo(path)).toBe(sha256(file));
  });

  test("has no way to the internet unless it was made with one", async () => {
    const machine = await join(await makeRoom(), "10.0.2.23");
    await expect(machine.guest.connect("127.0.0.1", 80).whole()).rejects.toThrow("reset");
    machine.stop();
  });

  test("is entered by its invite only", async () => {
    const path = await makeRoom();
    const headers = await visitorHeaders(site);
    const enter = (address: string) => TestSocket.open(site, address, ["virga-l2-v1"], headers);
    await expect(enter(path.replace(/.$/, (last) => (last === "A" ? "B" : "A")))).rejects.toThrow("403");
    await expect(enter("/l2?lan=nothing")).rejects.toThrow("403");
    await expect(enter(`/l2?lan=${"0".repeat(32)}.${"A".repeat(32)}`)).rejects.toThrow("404");
    (await enter(path)).drop();
  });

  test("an invite can be asked about, because a refused upgrade tells a page nothing", async () => {
    const invite = new URL(await makeRoom(), site.url).searchParams.get("lan")!;
    const status = async (asked: string) => (await fetch(new URL(`/api/lans/${asked}`, site.url))).status;
    expect(await status(invite)).toBe(204);
    expect(await status(invite.replace(/.$/, (last) => (last === "A" ? "B" : "A")))).toBe(404);
    expect(await status(`${"0".repeat(32)}.${"A".repeat(32)}`)).toBe(404);
    expect(await status("nothing")).toBe(404);
  });

  test("nobody makes one without a session", async () => {
    const response = await fetch(new URL("/api/lans", site.url), { method: "POST", body: "{}" });
    expect([400, 401]).toContain(response.status);
  });
});

import { SELF } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import app from "../../worker/index.ts";
import { tunnelRoutes } from "../../worker/tunnel-routes.ts";

/** Refusals before the upgrade, in the order of aero-l2-tunnel-v1 §1.6, each behind the one before it. */
const site = "https://virga.test";
const cookieOf = (response: Response): string => response.headers.get("set-cookie")!.split(";")[0]!;

test("draining, upgrade, subprotocol, credential, Origin, Host, address, session: each comes before the next", async () => {
  const settings: Record<string, unknown> = {
    VIRGA_TUNNEL_AUTH: "session_or_token",
    VIRGA_DRAINING: "1",
    VIRGA_HOSTS: "other.test",
    TUNNEL_RATE: { limit: async () => ({ success: false }) },
    TUNNEL: { getByName: () => ({ fetch: async () => new Response("full", { status: 429 }) }) },
  };
  const headers: Record<string, string> = { origin: "https://evil.test" };
  const ask = async (): Promise<[number, string]> => {
    const response = await tunnelRoutes.request(`${site}/l2`, { headers }, { ...env, ...settings });
    return [response.status, response.webSocket ? "" : await response.text()];
  };
  const metric = async (name: string): Promise<number> => {
    const text = await (await app.request(`${site}/metrics`, {}, env)).text();
    return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  };
  const before = await metric("l2_upgrade_rejected_total");
  expect(await ask()).toEqual([503, "draining"]);
  settings["VIRGA_DRAINING"] = "";
  expect(await ask()).toEqual([400, "expected a WebSocket upgrade"]);
  headers["upgrade"] = "websocket";
  expect(await ask()).toEqual([400, "missing subprotocol aero-l2-tunnel-v1"]);
  headers["sec-websocket-protocol"] = "x, aero-l2-tunnel-v1";
  expect(await ask()).toEqual([401, "a credential is needed"]);
  headers["cookie"] = cookieOf(await app.request(`${site}/session`, { method: "POST" }, env));
  expect(await ask()).toEqual([403, "this origin is not allowed"]);
  headers["origin"] = site;
  expect(await ask()).toEqual([403, "this host is not allowed"]);
  settings["VIRGA_HOSTS"] = "virga.test";
  expect(await ask()).toEqual([429, "too many tunnels from this address"]);
  settings["TUNNEL_RATE"] = env.TUNNEL_RATE;
  expect(await ask()).toEqual([429, "full"]);
  expect((await metric("l2_upgrade_rejected_total")) - before).toBe(5);
  settings["TUNNEL"] = env.TUNNEL;
  expect(await ask()).toEqual([101, ""]);
});

test("a session has 16 sockets at a time: one more is 429, until one of them goes", async () => {
  const origin = "http://localhost:8787";
  const cookie = cookieOf(await SELF.fetch(`${origin}/session`, { method: "POST" }));
  const headers = { upgrade: "websocket", "sec-websocket-protocol": "aero-l2-tunnel-v1", cookie, origin };
  const open = () => SELF.fetch(`${origin}/l2`, { headers });
  const sockets: WebSocket[] = [];
  let refused = 0;
  for (let count = 0; count < 64 && refused === 0; count++) {
    const { webSocket, status } = await open();
    if (webSocket) {
      webSocket.accept();
      sockets.push(webSocket);
    } else refused = status;
  }
  expect([refused, sockets.length]).toEqual([429, 16]);
  sockets[0]!.close(1000);
  await expect.poll(async () => (await open()).status, { timeout: 20_000 }).toBe(101);
});

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pattern } from "../support/loopback.ts";
import { tunnelSite } from "../support/tunnel-site.ts";
import { compileGuest, startForeignGuest } from "../support/v86/guest.ts";

/**
 * v86 from npm as a foreign client: its own NE2000, its own network adapter, its own WebSocket, and a guest that drives the
 * card itself. `/eth/raw` carries its frames; by `wisp:` v86 ends them in its own network and opens Wisp streams.
 */
const site = tunnelSite();
const file = pattern(300_000, 51);
const built = compileGuest();

/** FNV-1a, 32 bits. */
const fnv = (bytes: Uint8Array): string =>
  bytes.reduce((hash, byte) => Math.imul(hash ^ byte, 16_777_619) >>> 0, 0x811c_9dc5).toString(16);

const heads: string[] = [];
const server = createServer((request, response) => {
  heads.push(`${request.method} ${request.url} ${request.headers.host}`);
  response.end(file);
});
beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
afterAll(() => new Promise((resolve) => server.close(resolve)));

test.skipIf("absent" in built).each([
  ["frames by /eth/raw", "ws:", "/eth/raw", /^lease 10\.0\.2\.15 10\.0\.2\.2$/, "020000000001"],
  ["streams by /wisp/", "wisp:", "/wisp/", /^lease 192\.168\.86\.100 192\.168\.86\.1$/, "525400010203"],
])(
  `v86, %s${"absent" in built ? ` (skipped: ${built.absent})` : ""}`,
  { timeout: 240_000 },
  async (_, scheme, path, lease, gateway) => {
    if ("absent" in built) return;
    const { port } = server.address() as AddressInfo;
    // host.virga.internal
    const target = { address: [198, 18, 0, 1], port } as const;
    const guest = await startForeignGuest(built.program, `${scheme}//${site.url.host}${path}`, target);
    try {
      expect(await guest.line()).toMatch(lease);
      expect(await guest.line()).toBe(`gateway is at ${gateway}`);
      expect(await guest.line()).toBe("echo");
      expect(await guest.line()).toBe(`http HTTP/1.1 200 ${file.length} ${fnv(file)}`);
      expect(heads.pop()).toBe("GET /file server");
    } finally {
      await guest.stop();
    }
  },
);

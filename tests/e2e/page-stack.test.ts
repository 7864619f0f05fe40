import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { BrowserContext } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { consoleOf, makeProfile } from "../support/browser.ts";
import { pattern } from "../support/loopback.ts";

/** The stack in the page instead of the tunnel's: Debian in Chromium, through the site's own relay doors, or by fetch. */
const BOOT_MS = 300_000;
const LONG_MS = 600_000;
const body = pattern(10_000_000, 13);
const md5 = createHash("md5").update(body).digest("hex");
const server = createServer((_, response) => response.end(body));
const profile = makeProfile();
let context: BrowserContext;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context = await profile.open();
}, 120_000);
afterAll(async () => {
  await context?.close();
  server.close();
  profile.remove();
});

async function boot(network: string) {
  const page = await context.newPage();
  await page.goto(`${inject("appUrl")}/m/debian?net=${network}`);
  const shell = consoleOf(page);
  await shell.waitFor(/#$/m, BOOT_MS);
  const leased = await shell.run(
    "for i in $(seq 60); do ip -4 -br addr show eth0 | grep 10.0.2.15 && break; sleep 0.5; done",
    120_000,
  );
  expect(leased).toContain("10.0.2.15/24");
  return { page, shell };
}

test.each(["tcp-mux", "wisp"])(
  "%s: ten megabytes by HTTP, every byte as it was; a name; a refusal in words",
  { timeout: 2 * LONG_MS },
  async (network) => {
    const { page, shell } = await boot(network);
    const { port } = server.address() as AddressInfo;
    const at = performance.now();
    expect(await shell.run(`curl -sS http://host.virga.internal:${port}/ | md5sum`, LONG_MS)).toContain(md5);
    console.log(`${network}: ${(body.length / 1000 / (performance.now() - at)).toFixed(2)} MB/s`);
    expect(await shell.run("getent hosts gateway.virga.internal")).toContain("10.0.2.2");
    expect(await shell.run("curl -s -m 20 http://192.168.77.1/; echo $?")).toMatch(/^(52|56|7)$/);
    await page.getByRole("button", { name: "Network" }).click();
    await page.getByText("Connected.").waitFor();
    const row = page.getByRole("listitem").filter({ hasText: "192.168.77.1" });
    expect(await row.innerText()).toMatch(/does not allow/);
    await page.close();
  },
);

test(
  "fetch: what the browser may not fetch is a 502 in words, other ports are refused",
  { timeout: 2 * LONG_MS },
  async () => {
    const { page, shell } = await boot("fetch");
    const host = new URL(inject("appUrl")).host;
    expect(await shell.run(`curl -sS -H 'Host: ${host}' http://198.51.100.7/healthz`)).toContain('"ok":true');
    expect(await shell.run("curl -sS http://198.51.100.7/ | head -1")).toContain(
      "The browser did not fetch http://198.51.100.7/",
    );
    expect(await shell.run("curl -s -m 20 http://198.51.100.7:22/; echo $?")).toBe("7");
    await page.close();
  },
);

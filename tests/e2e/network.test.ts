import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { consoleOf, makeProfile } from "../support/browser.ts";
import { startCuttingProxy, type CuttingProxy } from "../support/cutting-proxy.ts";

const BOOT_MS = 240_000;
let proxy: CuttingProxy;

beforeAll(async () => {
  proxy = await startCuttingProxy(inject("appUrl"));
}, 300_000);
afterAll(async () => {
  await proxy?.close();
});

/** The kernel is about 110 chunks, so the first cut is while it is read, and the second while the guest reads its disk. */
test.each([
  ["tiny", 30],
  ["debian", 150],
] as const)(
  "%s: a network cut after %i chunks pauses the machine with words, and it goes on by itself",
  async (slug, chunks) => {
    const profile = makeProfile();
    const context = await profile.open();
    try {
      const page = await context.newPage();
      proxy.cutAfterChunks(chunks);
      await page.goto(`${proxy.url}/m/${slug}`);
      await page.getByRole("heading", { name: "The network is gone" }).waitFor({ timeout: BOOT_MS });
      expect(proxy.isCut).toBe(true);
      await page
        .locator(".status")
        .getByText(/Paused: the network is gone/)
        .waitFor();
      proxy.mend();
      const shell = consoleOf(page);
      await shell.waitFor(/#$/m, BOOT_MS);
      expect(await shell.run("md5sum /bin/cat >/dev/null && echo whole")).toBe("whole");
      await page.getByRole("heading", { name: "The network is gone" }).waitFor({ state: "detached" });
    } finally {
      proxy.mend();
      await context.close();
      profile.remove();
    }
  },
  2 * BOOT_MS,
);

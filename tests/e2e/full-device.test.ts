import type { BrowserContext, CDPSession, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { consoleOf, makeProfile } from "../support/browser.ts";

const BOOT_MS = 180_000;
const QUOTA_BYTES = 30e6;
const profile = makeProfile();
let context: BrowserContext;
let page: Page;
let browser: CDPSession;
const site = inject("appUrl");
const quota = (quotaSize?: number) =>
  browser.send("Storage.overrideQuotaForOrigin", {
    origin: new URL(site).origin,
    ...(quotaSize === undefined ? {} : { quotaSize }),
  });

beforeAll(async () => {
  context = await profile.open();
  page = context.pages()[0] ?? (await context.newPage());
  browser = await context.newCDPSession(page);
});
afterAll(async () => {
  await context?.close();
  profile.remove();
});

test(
  "a device that is full pauses the machine with words; with room again it goes on, and nothing is lost",
  async () => {
    await page.goto(`${site}/m/tiny`);
    const shell = consoleOf(page);
    await shell.waitFor(/#$/m, BOOT_MS);
    await quota(QUOTA_BYTES);
    const write = "for i in $(seq 20); do cat /bin/busybox; done";
    await shell.type(`${write} > /root/big; sync; echo all is there`);
    const card = page.getByRole("alert");
    await card.getByText("This device is full").waitFor({ timeout: 180_000 });
    expect(await card.innerText()).toMatch(/is saved[\s\S]*Free some space, then try again\./);
    await quota();
    await card.getByRole("button", { name: "Try again" }).click();
    await card.waitFor({ state: "detached" });
    await shell.waitFor(/^all is there$/m, 180_000);
    const expected = await shell.run(`(${write}) | md5sum`, 120_000);
    expect(await shell.run("echo 3 > /proc/sys/vm/drop_caches; md5sum < /root/big", 120_000)).toBe(expected);
  },
  BOOT_MS + 600_000,
);

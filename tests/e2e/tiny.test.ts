import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { consoleOf, makeProfile, recordTrouble } from "../support/browser.ts";
import { startCuttingProxy, type CuttingProxy } from "../support/cutting-proxy.ts";

/** Patient enough for two busy cores; nothing here asserts a time. */
const BOOT_MS = 180_000;
const prompt = /#$/m;

let site: CuttingProxy;
const profile = makeProfile();
let context: BrowserContext;
let page: Page;
let trouble: string[];

beforeAll(async () => {
  site = await startCuttingProxy(inject("appUrl"));
  await reopen();
}, 300_000);
afterAll(async () => {
  await context?.close();
  await site?.close();
  profile.remove();
});

/** Opens the browser anew on the same profile, as after a crash or the next day. */
async function reopen(): Promise<void> {
  context = await profile.open();
  page = context.pages()[0] ?? (await context.newPage());
  trouble = recordTrouble(page);
}

async function boot(): Promise<ReturnType<typeof consoleOf>> {
  const shell = consoleOf(page);
  await shell.waitFor(prompt, BOOT_MS);
  return shell;
}

test(
  "an empty profile: the gallery, a click, a shell, and it is a 64-bit machine",
  async () => {
    await page.goto(site.url);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    await page.getByRole("link", { name: /tiny/i }).click();
    const shell = await boot();
    expect(await shell.run("uname -m")).toBe("x86_64");
    expect(trouble).toEqual([]);
  },
  BOOT_MS + 60_000,
);

test(
  "a file that was synced is there after a reload",
  async () => {
    const shell = consoleOf(page);
    await shell.run("echo kept > /root/note; sync");
    await page.reload();
    expect(await (await boot()).run("cat /root/note")).toBe("kept");
  },
  BOOT_MS + 60_000,
);

test(
  "a browser killed while the guest writes: what sync acknowledged is there, and the disk mounts cleanly",
  async () => {
    const shell = consoleOf(page);
    await shell.run("for i in 1 2 3 4 5; do echo $i > /root/n; sync; done; cat /root/n");
    await shell.type("while true; do dd if=/dev/urandom of=/root/junk bs=64k count=8; done 2>/dev/null");
    await page.waitForTimeout(1500);
    await killBrowser(context);
    await reopen();
    await page.goto(`${site.url}/m/tiny`);
    const again = await boot();
    expect(await again.run("cat /root/n")).toBe("5");
    expect(await again.run("dmesg | grep -ciE 'ext4-fs error|i/o error' || true")).toBe("0");
  },
  BOOT_MS + 60_000,
);

test(
  "the second boot needs no network",
  async () => {
    site.cut();
    await page.reload();
    const shell = await boot();
    expect(await shell.run("cat /root/note")).toBe("kept");
    site.mend();
  },
  BOOT_MS + 60_000,
);

/** SIGKILL to the whole browser: no handler of ours or of Chromium's runs. */
async function killBrowser(open: BrowserContext): Promise<void> {
  const browser = open.browser();
  if (!browser) throw new Error("the browser is gone");
  const session = await browser.newBrowserCDPSession();
  const info = (await session.send("SystemInfo.getProcessInfo")) as {
    processInfo: { type: string; id: number }[];
  };
  const closed = new Promise((resolve) => open.once("close", resolve));
  for (const { id } of info.processInfo.filter(({ type }) => type === "browser")) process.kill(id, "SIGKILL");
  await closed;
}

test(
  "the address says another network card, and the settings show it",
  async () => {
    await page.goto(`${site.url}/m/tiny?card=rtl8139-8139c`);
    const shell = await boot();
    // The older chip's revision (its data sheet's table of the configuration space) at the place of its model.
    const card = "/sys/bus/pci/devices/0000:00:06.0";
    expect(await shell.run(`echo $(cat ${card}/device ${card}/revision)`)).toBe("0x8139 0x10");
    await page.getByRole("button", { name: "Settings" }).click();
    const setting = page.getByLabel("Network card");
    await setting.waitFor();
    expect([await setting.inputValue(), await setting.isDisabled()]).toEqual(["rtl8139-8139c", true]);
  },
  BOOT_MS + 60_000,
);

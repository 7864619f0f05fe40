import { existsSync } from "node:fs";
import { launch, type Browser } from "puppeteer-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";

const firefoxPath = process.env["VIRGA_FIREFOX"] ?? "/usr/bin/firefox-esr";
const absent = !existsSync(firefoxPath);
const BOOT_MS = 240_000;

let browser: Browser;

beforeAll(async () => {
  if (absent) return;
  browser = await launch({ browser: "firefox", executablePath: firefoxPath, headless: true });
}, 300_000);
afterAll(async () => {
  await browser?.close();
});

test.skipIf(absent)(
  `tiny boots to a shell in Firefox${absent ? " (skipped: firefox-esr is not installed)" : ""}`,
  async () => {
    const page = await browser.newPage();
    await page.goto(`${inject("appUrl")}/m/tiny`);
    const shown = async () =>
      page.$$eval(".xterm-rows > div", (lines) => lines.map((line) => line.textContent).join("\n"));
    await expect.poll(shown, { timeout: BOOT_MS, interval: 500 }).toMatch(/#/);
    await page.focus(".xterm-helper-textarea");
    await page.keyboard.type("uname -m\n");
    await expect.poll(shown, { timeout: 30_000, interval: 200 }).toMatch(/x86_64/);
  },
  BOOT_MS + 60_000,
);

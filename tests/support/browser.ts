import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type BrowserContext, type Page } from "playwright-core";

/** Debian's Chromium; another one by VIRGA_CHROMIUM. */
export const chromiumPath = process.env["VIRGA_CHROMIUM"] ?? "/usr/bin/chromium";

/** Without a sandbox where there is none (root), without the small /dev/shm of containers, and quiet on the network. */
const flags = [
  "--no-sandbox",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A person's browser: a profile that lasts, because private ones have a file system a hundred times slower. */
export interface Profile {
  /** Opens the browser on this profile. */
  open(): Promise<BrowserContext>;
  remove(): void;
}

export function makeProfile(): Profile {
  const directory = mkdtempSync(join(tmpdir(), "virga-profile-"));
  return {
    open: () =>
      chromium.launchPersistentContext(directory, {
        executablePath: chromiumPath,
        headless: true,
        args: flags,
      }),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** Marks are never used twice, so that what an earlier command left on the screen is not taken for an answer. */
let count = 0;

/** The console of the machine page: what it shows, and keys for it. */
export function consoleOf(page: Page) {
  const text = async () =>
    (await page.locator(".xterm-rows > div").allTextContents())
      .map((line) => line.replaceAll("\u00a0", " ").trimEnd())
      .join("\n");
  const waitFor = async (pattern: RegExp, timeout: number): Promise<string> => {
    const end = performance.now() + timeout;
    for (;;) {
      const shown = await text();
      if (pattern.test(shown)) return shown;
      if (performance.now() > end)
        throw new Error(
          `the console never showed ${pattern}; it shows:\n${shown}\n${await page.locator(".status").innerText()}`,
        );
      await page.waitForTimeout(100);
    }
  };
  const type = async (line: string) => {
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.type(`${line}\n`);
  };
  /** Types a command and returns what it printed; the marks around it are made so that the typed line does not match. */
  const run = async (command: string, timeout = 30_000): Promise<string> => {
    const mark = `m${(count += 1)}`;
    await type(`clear; echo "<${mark}"">"; ${command}; echo "</${mark}"">"`);
    const shown = await waitFor(new RegExp(`</${mark}>`), timeout);
    return new RegExp(`<${mark}>\\n([\\s\\S]*?)\\n?</${mark}>`).exec(shown)?.[1] ?? "";
  };
  return { text, waitFor, type, run };
}

/** What the page wrote to its console and threw, for the message of a failing test. */
export function recordTrouble(page: Page): string[] {
  const lines: string[] = [];
  page.on("pageerror", (error) => lines.push(`thrown: ${error.message}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) lines.push(`${message.type()}: ${message.text()}`);
  });
  return lines;
}

import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { consoleOf, makeProfile } from "../support/browser.ts";

/** Two busy cores and the interpreter alone; nothing here asserts a time. */
const BOOT_MS = 300_000;
const profile = makeProfile();
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  context = await profile.open();
  page = context.pages()[0] ?? (await context.newPage());
}, 600_000);
afterAll(async () => {
  await context?.close();
  profile.remove();
});

test(
  "a click on its card boots it to a shell",
  async () => {
    await page.goto(inject("appUrl"));
    await page.getByRole("link", { name: /debian/i }).click();
    const shell = consoleOf(page);
    await shell.waitFor(/#$/m, BOOT_MS);
    expect(await shell.run("uname -m")).toBe("x86_64");
    expect(await shell.run(". /etc/os-release; echo $ID $VERSION_ID")).toBe("debian 12");
  },
  BOOT_MS + 60_000,
);

test(
  "its compiler compiles and its Python runs",
  async () => {
    const shell = consoleOf(page);
    await shell.run(
      `printf 'int puts(const char*);int main(){puts("hello from the cloud");return 0;}' > /tmp/h.c`,
    );
    expect(await shell.run("cc /tmp/h.c -o /tmp/h && /tmp/h", BOOT_MS)).toBe("hello from the cloud");
    expect(await shell.run("python3 -c 'import math; print(math.factorial(20))'", BOOT_MS)).toBe(
      "2432902008176640000",
    );
  },
  3 * BOOT_MS,
);

test(
  "the other boot entry brings systemd to a login",
  async () => {
    await page.goto(`${inject("appUrl")}/m/debian?boot=full`);
    const shell = consoleOf(page);
    await shell.waitFor(/#$/m, BOOT_MS);
    expect(await shell.run("cat /proc/1/comm")).toBe("systemd");
  },
  BOOT_MS + 120_000,
);

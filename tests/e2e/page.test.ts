import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { consoleOf, makeProfile, recordTrouble } from "../support/browser.ts";
import { startCuttingProxy } from "../support/cutting-proxy.ts";

const BOOT_MS = 180_000;
const profile = makeProfile();
let context: BrowserContext;
let page: Page;
let trouble: string[];

beforeAll(async () => {
  context = await profile.open();
  page = context.pages()[0] ?? (await context.newPage());
  trouble = recordTrouble(page);
});
afterAll(async () => {
  await context?.close();
  profile.remove();
});

const site = (path: string) => `${inject("appUrl")}${path}`;
const button = (name: string) => page.getByRole("button", { name, exact: true });
const ready = () => consoleOf(page).waitFor(/#$/m, BOOT_MS);

test("an address that is not there, and a machine that is not there, say so and show the way on", async () => {
  await page.goto(site("/nowhere"));
  await page.getByRole("heading", { name: "There is nothing at this address." }).waitFor();
  await page.goto(site("/m/nobody"));
  await page.getByRole("alert").getByText("Part of this machine is missing").waitFor();
  await expect.poll(() => page.getByRole("alert").innerText()).toContain("not-found");
});

test("the page about this browser says what it can do", async () => {
  await page.goto(site("/browser"));
  await page.getByText("Machines run here with everything they can use.").waitFor();
  await expect.poll(() => page.locator(".capabilities li").count()).toBe(5);
});

test(
  "settings of the address win, are shown, and cannot be changed in the page",
  async () => {
    await page.goto(site("/m/tiny?mem=192&log=error&theme=light"));
    await ready();
    expect(
      await consoleOf(page).run("awk '/MemTotal/ {print ($2 < 192*1024 && $2 > 128*1024)}' /proc/meminfo"),
    ).toBe("1");
    await button("Settings").click();
    const dialog = page.getByRole("dialog", { name: "Settings" });
    expect(await dialog.getByRole("combobox", { name: /^Memory/ }).isDisabled()).toBe(true);
    expect(await dialog.getByText("Set by the address of this page").count()).toBe(3);
    expect(await dialog.getByRole("combobox", { name: /^Letters/ }).isDisabled()).toBe(false);
    expect(await page.evaluate(() => document.documentElement.dataset["theme"])).toBe("light");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
  },
  BOOT_MS,
);

test("pause stops the guest and go on lets it run", async () => {
  await button("Pause").click();
  await page.locator('.state[data-phase="paused"]').waitFor();
  await button("Go on").click();
  await page.locator('.state[data-phase="running"]').waitFor();
  expect(await consoleOf(page).run("echo alive")).toBe("alive");
});

test("Ctrl+Alt twice takes the keys back, Enter gives them to the machine, ? lists the keys", async () => {
  await page.locator(".xterm-helper-textarea").focus();
  for (let press = 0; press < 2; press++) await page.keyboard.press("Control+Alt");
  await expect.poll(() => page.locator(".toolbar :focus").count()).toBe(1);
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await page.keyboard.press("Enter");
  await expect.poll(() => page.locator(".xterm-helper-textarea:focus").count()).toBe(1);
});

test(
  "a reset starts the machine again and keeps its disk",
  async () => {
    await consoleOf(page).run("echo here > /root/before; sync");
    await button("Reset").click();
    await page.getByRole("dialog").getByRole("button", { name: "Reset" }).click();
    // The command above cleared the screen, so the greeting is that of the next start.
    await consoleOf(page).waitFor(/Virga tiny/, BOOT_MS);
    await ready();
    expect(await consoleOf(page).run("cat /root/before")).toBe("here");
  },
  BOOT_MS + 60_000,
);

test(
  "poweroff inside the machine turns it off, and Start turns it on",
  async () => {
    await consoleOf(page).type("poweroff");
    await page.getByRole("heading", { name: "The machine is off" }).waitFor({ timeout: 60_000 });
    await page.locator(".screen").getByRole("button", { name: "Start" }).click();
    await ready();
    expect(await consoleOf(page).run("cat /root/before")).toBe("here");
  },
  BOOT_MS + 60_000,
);

test(
  "forgetting your changes names them, and gives back the disk as it was",
  async () => {
    await button("Power off").click();
    await page.getByRole("dialog").getByRole("button", { name: "Power off" }).click();
    await page.getByRole("heading", { name: "The machine is off" }).waitFor();
    await button("Settings").click();
    await page.getByRole("button", { name: "Forget your changes" }).click();
    const question = page.getByRole("dialog", { name: /^Forget your changes to/ });
    expect(
      await question
        .getByRole("button", { name: "Keep it" })
        .evaluate((safe) => safe === document.activeElement),
    ).toBe(true);
    await question.getByRole("button", { name: "Forget my changes" }).click();
    await question.waitFor({ state: "detached" });
    await page.locator(".screen").getByRole("button", { name: "Start" }).click();
    await ready();
    expect(await consoleOf(page).run("cat /root/before 2>/dev/null || echo gone")).toBe("gone");
  },
  BOOT_MS + 60_000,
);

test("a second tab with the same machine says that it is open elsewhere", async () => {
  const second = await context.newPage();
  await second.goto(site("/m/tiny"));
  await second.getByText("This machine is open in another tab").waitFor({ timeout: 30_000 });
  await second.close();
  expect(await consoleOf(page).run("echo unharmed")).toBe("unharmed");
});

test("a file dropped on the page does not replace the machine: the page says what to do with it", async () => {
  const dropped = await page.evaluate(() => {
    const data = new DataTransfer();
    data.items.add(new File(["not a disk"], "holiday.jpg"));
    const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
    return !document.querySelector(".screen")!.dispatchEvent(event);
  });
  expect(dropped).toBe(true);
  const words = page.getByText("was not opened, and nothing was changed.");
  await words.waitFor();
  expect(await words.innerText()).toContain("holiday.jpg");
  expect(await consoleOf(page).run("echo unharmed")).toBe("unharmed");
});

test("nothing above made the page complain", () => {
  expect(trouble.filter((line) => !line.includes("404"))).toEqual([]);
});

test("the guest's disk can be saved as a file that holds what was changed", async () => {
  await consoleOf(page).run("echo needle-in-the-disk > /root/needle; sync");
  await button("Power off").click();
  await page.getByRole("dialog").getByRole("button", { name: "Power off" }).click();
  await page.evaluate(() => Reflect.deleteProperty(window, "showSaveFilePicker"));
  await button("Settings").click();
  const [download] = await Promise.all([
    page.waitForEvent("download", { timeout: 60_000 }),
    button("Save the disk as a file").click(),
  ]);
  const pieces: Buffer[] = [];
  for await (const piece of await download.createReadStream()) pieces.push(piece as Buffer);
  const disk = Buffer.concat(pieces);
  expect(disk.length).toBe(64 * 2 ** 20);
  expect(disk.includes("needle-in-the-disk")).toBe(true);
}, 120_000);

test(
  "without cross-origin isolation the machine runs in plain memory",
  async () => {
    const plain = await startCuttingProxy(inject("appUrl"), {
      headers: ({
        "cross-origin-opener-policy": _opener,
        "cross-origin-embedder-policy": _embedder,
        ...rest
      }) => rest,
    });
    const other = await context.newPage();
    try {
      await other.goto(`${plain.url}/m/tiny`);
      expect(await other.evaluate(() => crossOriginIsolated)).toBe(false);
      const shell = consoleOf(other);
      await shell.waitFor(/#$/m, BOOT_MS);
      expect(await shell.run("uname -m")).toBe("x86_64");
    } finally {
      await other.close();
      await plain.close();
    }
  },
  BOOT_MS + 60_000,
);

test("a deploy is seen at the next load, though the app is kept on this device", async () => {
  let title = "Virga";
  const deployed = await startCuttingProxy(inject("appUrl"), {
    page: (html) => html.replace("<body>", `<body data-deploy="${title}">`),
  });
  const other = await context.newPage();
  try {
    await other.goto(deployed.url);
    await other.evaluate(async () => void (await navigator.serviceWorker.ready));
    title = "the next one";
    await other.reload();
    expect(await other.evaluate(() => document.body.dataset["deploy"])).toBe("the next one");
    expect(await other.evaluate(() => navigator.serviceWorker.controller !== null)).toBe(true);
  } finally {
    await other.close();
    await deployed.close();
  }
});

import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { consoleOf, makeProfile } from "../support/browser.ts";

/** Machines that share a network: in two browsers by an invite, and in two tabs of one browser by a room's name. */
const BOOT_MS = 300_000;
const LONG_MS = 900_000;
const profile = makeProfile();
let context: BrowserContext;

beforeAll(async () => {
  context = await profile.open();
}, 120_000);
afterAll(async () => {
  await context?.close();
  profile.remove();
});

type Shell = ReturnType<typeof consoleOf>;

async function boot(page: Page, path: string): Promise<Shell> {
  await page.goto(`${inject("appUrl")}${path}`);
  const shell = consoleOf(page);
  await shell.waitFor(/#$/m, BOOT_MS);
  return shell;
}

/** The machine's address, when it has one. */
async function addressOf(shell: Shell): Promise<string> {
  const found = await shell.run(
    "for i in $(seq 60); do ip addr show eth0 | grep 'inet 10' && break; sleep 0.5; done",
    120_000,
  );
  const address = /10\.0\.2\.\d+/.exec(found)?.[0];
  if (!address) throw new Error(`no address: ${found}`);
  return address;
}

const answers = (shell: Shell, address: string): Promise<string> =>
  shell.run(
    `for i in $(seq 60); do ping -c 1 -W 1 ${address} >/dev/null && break; done; ping -c 3 ${address} | grep -o ' [0-9]*% packet loss'`,
    120_000,
  );

/** A file of two million random bytes by TCP, its hash made on both sides. Both have BusyBox of the initial RAM disk. */
async function copies(from: Shell, to: Shell, toAddress: string): Promise<void> {
  const nc = "/run/virga/busybox nc";
  await from.run("head -c 2000000 /dev/urandom >/dev/shm/file", 120_000);
  const sum = (await from.run("md5sum </dev/shm/file", 120_000)).split(" ")[0]!;
  expect(sum).toMatch(/^[0-9a-f]{32}$/);
  const got = to.run(`${nc} -l -p 5000 | md5sum`, LONG_MS);
  await from.run(
    `for i in $(seq 60); do ${nc} ${toAddress} 5000 </dev/shm/file && break; sleep 1; done`,
    LONG_MS,
  );
  expect(await got).toContain(sum);
}

test(
  "two browsers join one network by an invite, ping each other and copy a file",
  { timeout: 2 * LONG_MS },
  async () => {
    const first = await context.newPage();
    await boot(first, "/m/tiny");
    await first.getByRole("button", { name: "Network" }).click();
    const panel = first.getByRole("complementary", { name: "Network" });
    await panel.getByRole("button", { name: "Make a network" }).click();
    const invite = await panel.getByRole("link", { name: "Join" }).getAttribute("href");
    expect(invite).toMatch(/\/m\/tiny\?lan=[0-9a-f]{32}\./);
    const path = new URL(invite!).pathname + new URL(invite!).search;
    const one = await boot(first, path);
    // Another person: nothing of the first one's profile.
    const stranger = await context.browser()!.newContext();
    try {
      const two = await boot(await stranger.newPage(), path);
      const [oneAddress, twoAddress] = [await addressOf(one), await addressOf(two)];
      expect(new Set([oneAddress, twoAddress]).size).toBe(2);
      expect(await answers(one, twoAddress)).toBe(" 0% packet loss");
      expect(await answers(two, oneAddress)).toBe(" 0% packet loss");
      expect(await answers(two, "10.0.2.2")).toBe(" 0% packet loss");
      await copies(one, two, twoAddress);
      await copies(two, one, oneAddress);
    } finally {
      await stranger.close();
      await first.close();
    }
  },
);

test(
  "an invite that is none is refused in words, and the machine goes on",
  { timeout: LONG_MS },
  async () => {
    const page = await context.newPage();
    const shell = await boot(page, `/m/tiny?lan=${"0".repeat(32)}.${"A".repeat(22)}`);
    await page.getByRole("button", { name: "Network" }).click();
    await page.getByText("There is no internet here. The machine goes on without.").waitFor();
    expect(await shell.run("echo on")).toBe("on");
    await page.close();
  },
);

test(
  "two tabs share a room; when the one with the gateway closes, the other gets it",
  { timeout: 2 * LONG_MS },
  async () => {
    const tinyTab = await context.newPage();
    const tiny = await boot(tinyTab, "/m/tiny?room=both");
    const tinyAddress = await addressOf(tiny);
    const debianTab = await context.newPage();
    const debian = await boot(debianTab, "/m/debian?room=both");
    const debianAddress = await addressOf(debian);
    expect(debianAddress).not.toBe(tinyAddress);
    expect(await answers(debian, tinyAddress)).toBe(" 0% packet loss");
    // By name: the room's gateway knows whom it gave an address.
    expect(await debian.run("getent hosts tiny")).toContain(tinyAddress);
    await copies(tiny, debian, debianAddress);
    await copies(debian, tiny, tinyAddress);
    expect(await debian.run("curl -sS -m 20 http://192.168.77.1/; echo $?")).toMatch(/7$/);
    await tinyTab.close();
    expect(await answers(debian, "10.0.2.2")).toBe(" 0% packet loss");
    await debianTab.close();
  },
);

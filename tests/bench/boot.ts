import { readFileSync } from "node:fs";
import type { BrowserContext, Page } from "playwright-core";
import { consoleOf, makeProfile, type Profile } from "../support/browser.ts";
import { startSite } from "../support/site.ts";
import { againstLimit, type Result } from "./report.ts";

/** What ARCHITECTURE.md promises for two cores and the interpreter alone. */
const promises = {
  shell: { seconds: 25, megabytes: 20 },
  full: { seconds: 60, megabytes: 32 },
} as const;
const MEMORY_OVER_RAM_MB = 300;
const GUEST_MIB = 512;
const IDLE_CORE_SHARE = 0.03;
const IDLE_SETTLE_MS = 15_000;
const IDLE_WATCH_MS = 20_000;
const GIVE_UP_MS = 300_000;
const prompt = /root@debian:~#$/m;

interface Figures {
  readonly seconds: number;
  readonly instructions: number;
  readonly fetchedBytes: number;
  readonly verifiedBytes: number;
  readonly requests: number;
  readonly storedBytes: number;
}

/** Opens the machine's page and waits for the prompt; the numbers are those that the page knows then. */
async function boot(page: Page, url: string): Promise<Figures> {
  const start = performance.now();
  await page.goto(url);
  await consoleOf(page).waitFor(prompt, GIVE_UP_MS);
  const seconds = (performance.now() - start) / 1000;
  // The page hears of numbers twice a second.
  await page.waitForTimeout(1000);
  const shown = await page
    .locator(".status")
    .evaluate((line) => Object.entries((line as HTMLElement).dataset));
  const figures = new Map(shown);
  const figure = (name: string) => Number(figures.get(name));
  return {
    seconds,
    instructions: figure("instructions"),
    fetchedBytes: figure("fetchedBytes"),
    verifiedBytes: figure("verifiedBytes"),
    requests: figure("requests"),
    storedBytes: figure("storedBytes"),
  };
}

/** Proportional set size of the tab's process and the time that its threads and the browser's helpers have used. */
async function usage(context: BrowserContext): Promise<{ tabMegabytes: number; cpuSeconds: number }> {
  const browser = context.browser();
  if (!browser) throw new Error("the browser is gone");
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const renderers = processInfo.filter(({ type }) => type === "renderer");
  const pss = renderers.map(({ id, cpuTime }) => ({
    cpuTime,
    megabytes:
      (1024 * Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, "utf8"))?.[1])) / 1e6,
  }));
  const tab = pss.reduce((most, one) => (one.megabytes > most.megabytes ? one : most));
  return { tabMegabytes: tab.megabytes, cpuSeconds: tab.cpuTime };
}

async function measureIdle(context: BrowserContext, page: Page): Promise<Result> {
  await page.waitForTimeout(IDLE_SETTLE_MS);
  const before = await usage(context);
  await page.waitForTimeout(IDLE_WATCH_MS);
  const after = await usage(context);
  const share = (after.cpuSeconds - before.cpuSeconds) / (IDLE_WATCH_MS / 1000);
  return againstLimit("idle-tab", share, "cores", IDLE_CORE_SHARE);
}

/** A program of the guest writes to all memory that there is to have, less what keeps the guest from killing it. */
const TOUCH_ALL =
  "m=$(awk '/MemAvailable/ {print int($2 / 1024) - 32}' /proc/meminfo); echo $m; python3 -c \"print(len(b'1' * ($m << 20)))\"";

/** The tab's memory beyond the guest's once the guest has touched all of it, and how much of it the program touched. */
async function measureMemory(context: BrowserContext, page: Page): Promise<Result[]> {
  const fresh = (await usage(context)).tabMegabytes;
  const [asked, counted] = (await consoleOf(page).run(TOUCH_ALL, GIVE_UP_MS)).split("\n").map(Number);
  if (!asked || counted !== asked * 2 ** 20)
    throw new Error(`the guest was to touch ${asked} MiB and touched ${counted} bytes`);
  const ramMegabytes = (GUEST_MIB * 2 ** 20) / 1e6;
  const full = (await usage(context)).tabMegabytes;
  return [
    { name: "tab-memory-fresh", value: fresh, unit: "MB" },
    {
      name: "guest-memory-touched",
      value: asked / GUEST_MIB,
      unit: "share",
      peer: "guest RAM",
      ratio: asked / GUEST_MIB,
    },
    againstLimit("tab-memory-over-ram", full - ramMegabytes, "MB", MEMORY_OVER_RAM_MB),
  ];
}

async function measureEntry(site: string, entry: keyof typeof promises, profile: Profile): Promise<Result[]> {
  const url = `${site}/m/debian?boot=${entry}&mem=${GUEST_MIB}`;
  const { seconds, megabytes } = promises[entry];
  const cold = await profile.open();
  const first = await boot(await cold.newPage(), url);
  await cold.close();
  const warm = await profile.open();
  const page = await warm.newPage();
  const second = await boot(page, url);
  const settled =
    entry === "shell" ? [await measureIdle(warm, page), ...(await measureMemory(warm, page))] : [];
  await warm.close();
  return [
    againstLimit(`${entry}-cold`, first.seconds, "s", seconds),
    {
      name: `${entry}-warm`,
      value: second.seconds,
      unit: "s",
      peer: `${entry}-cold`,
      ratio: second.seconds / first.seconds,
    },
    { name: `${entry}-instructions`, value: first.instructions / 1e6, unit: "M" },
    againstLimit(`${entry}-fetched`, first.fetchedBytes / 1e6, "MB", megabytes),
    {
      name: `${entry}-fetched-of-image`,
      value: first.fetchedBytes / first.storedBytes,
      unit: "share",
      peer: "whole image",
      ratio: first.fetchedBytes / first.storedBytes,
    },
    { name: `${entry}-requests`, value: first.requests, unit: "requests" },
    {
      name: `${entry}-unverified`,
      value: Math.max(0, first.fetchedBytes - first.verifiedBytes),
      unit: "bytes",
    },
    { name: `${entry}-warm-fetched`, value: second.fetchedBytes / 1e6, unit: "MB" },
    ...settled,
  ];
}

/** From the click to the shell in Chromium, cold and warm, for both ways that Debian starts; then memory and idleness. */
export async function measure(): Promise<readonly Result[]> {
  const site = await startSite(console.error, { withTraces: true });
  const results: Result[] = [];
  try {
    for (const entry of ["shell", "full"] as const) {
      const profile = makeProfile();
      results.push(...(await measureEntry(site.url, entry, profile)));
      profile.remove();
    }
  } finally {
    await site.stop();
  }
  return results;
}

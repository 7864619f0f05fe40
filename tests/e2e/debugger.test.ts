import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { BrowserContext, Page } from "playwright-core";
import { consoleOf, makeProfile, recordTrouble } from "../support/browser.ts";

const BOOT_MS = 180_000;
const profile = makeProfile();
let context: BrowserContext;
let page: Page;
let trouble: string[];

beforeAll(async () => {
  context = await profile.open();
  page = context.pages()[0] ?? (await context.newPage());
  trouble = recordTrouble(page);
  await page.goto(`${inject("appUrl")}/m/tiny`);
  await consoleOf(page).waitFor(/#$/m, BOOT_MS);
}, 300_000);
afterAll(async () => {
  await context?.close();
  profile.remove();
});

const panel = () => page.getByRole("complementary", { name: "Debugger" });
const current = () => panel().locator("[aria-current]");

test("a paused machine shows its registers and the code at RIP, steps, and goes to an address", async () => {
  await page.getByRole("button", { name: "Debugger" }).click();
  await panel().getByRole("button", { name: "Pause" }).click();
  await current().waitFor();
  const address = async () => (await current().innerText()).split(/\s/)[0];
  const first = await address();
  expect(first).toMatch(/^[0-9a-f]{16}$/);
  const registers = await panel().locator("dl").innerText();
  expect(registers).toContain(`rip\n${first}`);
  expect(registers).toMatch(/rax\n[0-9a-f]{16}[\s\S]*r15\n[\s\S]*cr3\n/);
  // An idle kernel stands behind its HLT, where there is nothing to step until an interrupt; code elsewhere can be read.
  await panel().getByRole("button", { name: "Step" }).click();
  await panel().getByLabel("Address").fill("0xffffffff81000000");
  await panel().getByRole("button", { name: "Go", exact: true }).click();
  const code = panel().getByRole("list", { name: "Code, 64 bits" });
  await code.getByText("ffffffff81000000", { exact: true }).waitFor();
  expect(await code.innerText()).toMatch(/ffffffff81000000 lea rsp, \[rip[+-]0x/);
  await panel().getByLabel("Address").fill("1");
  await panel().getByLabel("Address").press("Enter");
  await panel().getByRole("alert").waitFor();
  expect(await panel().getByRole("alert").innerText()).toBe("No memory is at that address.");
  await page.getByRole("button", { name: "Go on" }).click();
  await panel().getByText("Pause the machine to see").waitFor();
  expect(await consoleOf(page).run("echo still here")).toBe("still here");
  expect(trouble).toEqual([]);
}, 120_000);

test("the key B shows and hides it", async () => {
  await page.locator("h1").click();
  await page.keyboard.press("b");
  expect(await panel().count()).toBe(0);
  await page.keyboard.press("b");
  await panel().waitFor();
});

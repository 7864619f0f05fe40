import { inflateSync } from "node:zlib";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { consoleOf, makeProfile, recordTrouble } from "../support/browser.ts";

const BOOT_MS = 300_000;
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

const button = (name: string) => page.getByRole("button", { name, exact: true });
/** Shows the screen or the terminal; the button is a switch, so that a test that failed half-way is not undone by the next. */
const look = async (at: "screen" | "terminal"): Promise<void> => {
  const toggle = button("Screen instead of terminal");
  if ((await toggle.getAttribute("aria-pressed")) !== String(at === "screen")) await toggle.click();
};
const screen = () => page.getByRole("application", { name: /Graphics screen 640×480/ });

/** RGB of pixels of the canvas, as the page shows it: read from a copy that is made for reading. */
const pixels = (points: readonly (readonly [number, number])[]): Promise<number[][]> =>
  page.locator(".graphics-screen canvas").evaluate((canvas, list) => {
    const { width, height } = canvas as HTMLCanvasElement;
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
    copy.drawImage(canvas as HTMLCanvasElement, 0, 0);
    return list.map(([x, y]) => [...copy.getImageData(x, y, 1, 1).data.subarray(0, 3)]);
  }, points);

/** Fills the frame buffer's first 262,144 pixels with one of them, given as octal escapes of its bytes. */
const fill = (pixel: string): string =>
  `printf '${pixel}' >/tmp/a; for i in $(seq 18); do cat /tmp/a /tmp/a >/tmp/b; mv /tmp/b /tmp/a; done; cat /tmp/a >/dev/fb0`;

const points = [
  [0, 100],
  [320, 200],
  [639, 300],
] as const;

test(
  "a machine that starts in graphics is shown on a canvas, in words for those who listen",
  async () => {
    await page.goto(`${inject("appUrl")}/m/tiny?screen=640x480`);
    await screen().waitFor({ timeout: BOOT_MS });
    // The canvas has its size from the first frame that is painted on it.
    const painted = page.locator(".graphics-screen canvas[width='640'][height='480']");
    await painted.waitFor({ timeout: BOOT_MS });
    await look("terminal");
    const shell = consoleOf(page);
    await shell.waitFor(/#$/m, BOOT_MS);
    expect(await shell.run("cat /proc/fb")).toBe("0 EFI VGA");
  },
  BOOT_MS + 60_000,
);

test("what the guest writes to its frame buffer is on the canvas, pixel by pixel, and changes as it does", async () => {
  await look("terminal");
  const shell = consoleOf(page);
  await shell.run(fill("\\063\\042\\021\\377"));
  await look("screen");
  await screen().waitFor();
  await expect.poll(() => pixels(points), { timeout: 30_000 }).toEqual(points.map(() => [0x11, 0x22, 0x33]));
  await look("terminal");
  // The screen is looked at while the guest paints: two seconds later it is another one.
  await shell.type(`(sleep 2; ${fill("\\377\\000\\200\\000")}) &`);
  await look("screen");
  await expect.poll(() => pixels(points), { timeout: 30_000 }).toEqual(points.map(() => [0x80, 0, 0xff]));
});

test("keys go to the guest's own keyboard: the console on the screen is a shell", async () => {
  await look("screen");
  await screen().focus();
  await page.keyboard.type("echo abc ", { delay: 20 });
  await page.keyboard.press("Shift+Period", { delay: 20 });
  await page.keyboard.type(" /tmp/typed\n", { delay: 20 });
  await look("terminal");
  await expect.poll(() => consoleOf(page).run("cat /tmp/typed"), { timeout: 30_000 }).toBe("abc");
});

test("the picture of the screen can be saved", async () => {
  await look("screen");
  const [download] = await Promise.all([
    page.waitForEvent("download", { timeout: 30_000 }),
    button("Save a picture of the screen").click(),
  ]);
  const pieces: Buffer[] = [];
  for await (const piece of await download.createReadStream()) pieces.push(piece as Buffer);
  const png = Buffer.concat(pieces);
  expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([640, 480]);
  expect(download.suggestedFilename()).toMatch(/^\S.* \d{4}-\d\d-\d\dT.*\.png$/);
  const data: Buffer[] = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at))
    if (png.toString("latin1", at + 4, at + 8) === "IDAT")
      data.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  expect(inflateSync(Buffer.concat(data)).length).toBeGreaterThanOrEqual(480 * (1 + 640 * 3));
});

test("a click gives the mouse to the machine, and the page says how to take it back", async () => {
  await page.locator(".graphics-screen canvas").click();
  await page.getByText("The mouse is in the machine. Escape gives it back.").waitFor();
  await expect.poll(() => page.evaluate(() => document.pointerLockElement?.tagName)).toBe("CANVAS");
  await page.evaluate(() => document.exitPointerLock());
  await page.getByText("The mouse is in the machine.").waitFor({ state: "detached" });
});

/**
 * Drives the i8042's auxiliary port itself, because the cloud kernel has no driver for mice,
 * and without its interrupt, which that kernel would answer. Prints two minutes of what it says.
 */
const listener = `
int ioperm(unsigned long, unsigned long, int); int printf(const char *, ...); int usleep(unsigned); int fflush(void *);
static int in(int p) { unsigned char v; __asm__ volatile("inb %w1, %b0" : "=a"(v) : "d"(p)); return v; }
static void out(int p, int v) { __asm__ volatile("outb %b0, %w1" : : "a"(v), "d"(p)); }
int main() {
  if (ioperm(0x60, 5, 1)) return 1;
  out(0x64, 0x60); out(0x60, 0x45); out(0x64, 0xd4); out(0x60, 0xf4);
  for (int i = 0; i < 60000; i++, usleep(2000)) while ((in(0x64) & 0x21) == 0x21) { printf("%d ", in(0x60)); fflush(0); }
  return 0; }`;

test(
  "the mouse reaches the guest: movement and a button, as packets of a PS/2 mouse",
  async () => {
    await page.goto(`${inject("appUrl")}/m/debian?screen=640x480`);
    await screen().waitFor({ timeout: BOOT_MS });
    await look("terminal");
    const shell = consoleOf(page);
    await shell.waitFor(/#$/m, BOOT_MS);
    const source = Buffer.from(listener).toString("base64");
    await shell.run(`echo ${source} | base64 -d > /tmp/m.c; cc /tmp/m.c -o /tmp/m`, BOOT_MS);
    await shell.type("/tmp/m > /tmp/mouse &");
    await expect.poll(() => shell.run("cat /tmp/mouse"), { timeout: 60_000 }).toMatch(/^250\s*$/);
    await look("screen");
    await page.locator(".graphics-screen canvas").click();
    await page.getByText("The mouse is in the machine. Escape gives it back.").waitFor();
    const box = (await page.locator(".graphics-screen canvas").boundingBox())!;
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    await page.mouse.move(x + 12, y + 7, { steps: 4 });
    await page.mouse.down();
    await page.mouse.up();
    await page.evaluate(() => document.exitPointerLock());
    await look("terminal");
    /** Bytes after the acknowledgement, three to a packet. */
    const packets = async (): Promise<number[][]> => {
      const bytes = (await shell.run("cat /tmp/mouse")).trim().split(" ").map(Number).slice(1);
      return Array.from({ length: Math.ceil(bytes.length / 3) }, (_, i) => bytes.slice(3 * i, 3 * i + 3));
    };
    await expect
      .poll(async () => (await packets()).slice(-2).map(([first]) => first! & 7), { timeout: 60_000 })
      .toEqual([1, 0]);
    const all = await packets();
    const sum = (at: 1 | 2, sign: number): number =>
      all.reduce((total, packet) => total + packet[at]! - (packet[0]! & sign ? 256 : 0), 0);
    expect([sum(1, 0x10), sum(2, 0x20)]).toEqual([12, -7]);
    expect(all.slice(0, -2).every(([first]) => (first! & 7) === 0)).toBe(true);
  },
  BOOT_MS + 120_000,
);

test("nothing above made the page complain", () => {
  expect(trouble.filter((line) => !line.includes("404"))).toEqual([]);
});

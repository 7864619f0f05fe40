import { existsSync } from "node:fs";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DiskDefinition } from "#protocol/machine-definition";
import { chromiumPath, makeProfile } from "../../support/browser.ts";
import { bundled } from "../../support/bundle.ts";
import { chunkStoreContract } from "../../support/chunk-store-contract.ts";
import { publishedImage, sampleDisk } from "../../support/disk-image.ts";
import { ImageServer } from "../../support/image-server.ts";

const image = publishedImage(sampleDisk(41));
const source: DiskDefinition = { kind: "chunked", manifest: image.manifest, sizeBytes: image.bytes.length };

const here = existsSync(chromiumPath);
const why = here ? "" : ` (skipped: there is no Chromium at ${chromiumPath})`;

describe.skipIf(!here)(`OPFS in Chromium${why}`, () => {
  const profile = makeProfile();
  let server: ImageServer;
  let browser: BrowserContext;
  let page: Page;

  const newPage = async () => {
    const page = await browser.newPage();
    await page.goto(server.origin);
    return page;
  };

  beforeAll(async () => {
    server = await ImageServer.start();
    server.publish(image);
    const text = new TextEncoder();
    server.objects.set("/", text.encode("<!doctype html><title>OPFS</title>"));
    server.objects.set("/opfs.js", text.encode(await bundled("tests/support/opfs-worker.ts")));
    server.objects.set("/storage.js", text.encode(await bundled("emulator/storage-worker.ts")));
    browser = await profile.open();
    page = await newPage();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    profile.remove();
  });

  /** A job in a worker of its own, which is killed afterwards. */
  const run = (job: string, argument: string, on = page): Promise<unknown> =>
    on.evaluate(
      ([job, argument]) =>
        new Promise((resolve, reject) => {
          const worker = new Worker("/opfs.js", { type: "module" });
          worker.onerror = (event) => reject(new Error(event.message));
          worker.onmessage = ({ data }) => {
            worker.terminate();
            if ("error" in data) reject(new Error(data.error));
            else resolve(data.result);
          };
          worker.postMessage({ job, argument });
        }),
      [job, argument] as const,
    );

  describe("chunk store contract: segment cache on OPFS", () => {
    test.each(Object.keys(chunkStoreContract))("%s", async (name) => {
      expect(await run("contract", name)).toBeNull();
    });
  });

  test("the cache is there after its worker was killed", async () => {
    expect(await run("keep chunks", "kept")).toBeGreaterThan(200 * 30_000);
    expect(await run("count chunks", "kept")).toBe(200);
  });

  test("a cache that another tab has open is busy, and free when that tab is gone", async () => {
    const other = await newPage();
    await other.evaluate(
      () =>
        new Promise<void>((resolve) => {
          const worker = new Worker("/opfs.js", { type: "module" });
          worker.onmessage = () => resolve();
          worker.postMessage({ job: "try to open", argument: "shared" });
        }),
    );
    expect(await run("try to open", "shared")).toBe("disk-busy");
    await other.close();
    expect(await run("try to open", "shared")).toBe("opened");
  });

  test("a worker killed at any moment leaves every flushed block, and no torn one", async () => {
    for (const [index, killAfterMs] of [0, 3, 7, 15, 40, 90].entries()) {
      const name = `overlay ${index}`;
      const flushed = await page.evaluate(
        ([name, killAfterMs]) =>
          new Promise<number>((resolve) => {
            const worker = new Worker("/opfs.js", { type: "module" });
            let flushed = 0;
            worker.onmessage = ({ data }) => {
              flushed = data.flushed;
              if (flushed > 1) return;
              setTimeout(() => {
                worker.terminate();
                resolve(flushed);
              }, killAfterMs);
            };
            worker.postMessage({ job: "write until killed", argument: name });
          }),
        [name, killAfterMs] as const,
      );
      const rounds = (await run("rounds of", name)) as (number | null)[];
      expect(
        Math.min(...rounds.map((round) => round ?? 0)),
        `killed after ${killAfterMs} ms`,
      ).toBeGreaterThanOrEqual(flushed);
    }
  });

  /** The real storage worker with a disk open on it; `window.storage` is what a test talks to. */
  const openStorage = (on: Page, writable = true) =>
    on.evaluate(
      async ([source, writable]) => {
        const worker = new Worker("/storage.js", { type: "module" });
        const { port1, port2 } = new MessageChannel();
        const notices: { type: string }[] = [];
        let id = 0;
        const ask = (request: object) =>
          new Promise<{ ok: boolean; value: { bytes?: Uint8Array } }>((resolve) => {
            const mine = ++id;
            port1.addEventListener("message", ({ data }) => {
              if (data.id === mine) resolve(data.outcome);
            });
            port1.postMessage({ ...request, id: mine });
          });
        port1.start();
        const sum = async (offset: number, length: number) => {
          const { value } = await ask({ type: "read", offset, length });
          const digest = await crypto.subtle.digest("SHA-256", value.bytes!.slice());
          return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
        };
        Object.assign(globalThis, { storage: { worker, ask, sum, notices } });
        return new Promise<{ type: string }>((resolve) => {
          worker.onmessage = ({ data }) => {
            notices.push(data);
            if (data.type === "opened" || data.type === "open-failed") resolve(data);
          };
          worker.postMessage({ type: "open", disk: "tiny", source, writable, port: port2, boot: "shell" }, [
            port2,
          ]);
        });
      },
      [source, writable] as const,
    );
  const storage = <T>(on: Page, work: string): Promise<T> =>
    on.evaluate(`(async () => { const { worker, ask, sum, notices } = storage; ${work} })()`);

  test("the storage worker streams a disk, keeps what was flushed, and starts again without a network", async () => {
    const sums = { all: `return sum(0, ${image.bytes.length})` };
    expect(await openStorage(page)).toMatchObject({ type: "opened", persistent: true });
    const { createHash } = await import("node:crypto");
    const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    expect(await storage(page, sums.all)).toBe(sha(image.bytes));

    const changed = image.bytes.slice();
    changed.fill(0x77, 8192, 16384);
    const write = `return ask({ type: "write", offset: 8192, bytes: new Uint8Array(8192).fill(0x77) })`;
    expect(await storage(page, write)).toMatchObject({ ok: true });
    expect(await storage(page, `return ask({ type: "flush" })`)).toMatchObject({ ok: true });
    await page.close();

    server.mischief = ({ path }) => (path.startsWith("/api/") ? { do: "hang-up" } : undefined);
    page = await newPage();
    expect(await openStorage(page)).toMatchObject({ type: "opened", overlayBytes: 4096 + 2 * 4128 });
    expect(await storage(page, sums.all)).toBe(sha(changed));
    server.mischief = () => undefined;
  });

  test("a disk that another tab has open is refused in words", async () => {
    const other = await newPage();
    expect(await openStorage(other)).toEqual({
      type: "open-failed",
      disk: "tiny",
      failure: { code: "disk-busy", disk: "tiny" },
    });
    await other.close();
  });

  test("a device that is full refuses writes in words, and goes on reading", async () => {
    const session = await browser.newCDPSession(page);
    const usage = await page.evaluate(async () => (await navigator.storage.estimate()).usage ?? 0);
    await session.send("Storage.overrideQuotaForOrigin", {
      origin: server.origin,
      quotaSize: usage + 3_000_000,
    });
    // Rewrites the same hundred blocks without a flush, so that the log only grows.
    const write = `
      let first = 0;
      for (let count = 0; count < 2000; count++) {
        const fill = 1 + (count % 250);
        const offset = (count % 100) * 4096;
        const written = await ask({ type: "write", offset, bytes: new Uint8Array(4096).fill(fill) });
        if (!written.ok) return { code: written.failure.code, first };
        if (offset === 0) first = fill;
      }
      return "everything was written"`;
    const full = await storage<{ code: string; first: number }>(page, write);
    expect(full.code).toBe("storage-full");
    const read = `return (await ask({ type: "read", offset: 0, length: 4096 })).value.bytes[9]`;
    expect(await storage(page, read)).toBe(full.first);
    await session.send("Storage.overrideQuotaForOrigin", { origin: server.origin });
    expect(await storage(page, write)).toBe("everything was written");
  });
});

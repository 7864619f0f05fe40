import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { DiskDefinition } from "#protocol/machine-definition";
import { MemoryFolder } from "../../../emulator/storage/memory-files.ts";
import { ImageServer, type Mischief } from "../../support/image-server.ts";
import { valueOf } from "../../support/outcome.ts";
import { randomBytes, seededRandom } from "../../support/seeded-random.ts";
import { StorageRig, afterKill } from "../../support/storage-rig.ts";

const WINDOW = 262144;
const bytes = randomBytes(seededRandom(31), 3 * WINDOW + 5 * 512);
const source: DiskDefinition = { kind: "raw", imageId: "win", sizeBytes: bytes.length };
const isWindow = ({ path, range }: { path: string; range: string | undefined }) =>
  path.startsWith("/api/raw/") && range !== "bytes=0-0";

let server: ImageServer;
let rigs: StorageRig[] = [];
const rigOn = (files?: MemoryFolder) => {
  const rig = new StorageRig(server.origin, files);
  rigs.push(rig);
  return rig;
};
beforeEach(async () => {
  server = await ImageServer.start();
  server.raws.set("win", { bytes, etag: '"v1"' });
});
afterEach(async () => {
  await Promise.all(rigs.map((rig) => rig.end()));
  rigs = [];
  await server.close();
});

describe("raw image", () => {
  test("reads as the file, in aligned windows of its version", async () => {
    const { notice, disk } = await rigOn().open("win", source);
    expect(notice).toMatchObject({ type: "opened", sizeBytes: bytes.length, storedBytes: bytes.length });
    expect(valueOf(await disk.read(WINDOW - 512, 1024))).toEqual(bytes.slice(WINDOW - 512, WINDOW + 512));
    expect(valueOf(await disk.read(0, bytes.length))).toEqual(bytes);
    const ranges = new Set(server.asked.filter(isWindow).map(({ range }) => range));
    expect([...ranges].sort((a, b) => (a ?? "").localeCompare(b ?? ""))).toEqual([
      "bytes=0-262143",
      "bytes=262144-524287",
      "bytes=524288-786431",
      `bytes=786432-${bytes.length - 1}`,
    ]);
  });

  test("asks for a new URL when the old one is refused, once for each window", async () => {
    const { disk } = await rigOn().open("win", source);
    server.refuseUrls();
    expect(valueOf(await disk.read(0, 512))).toEqual(bytes.slice(0, 512));
    expect(server.countOf("/api/images/win/stream-url")).toBe(2);
  });

  test("asks for a new URL before the old one expires", async () => {
    const rig = rigOn();
    server.nowMs = () => performance.now() * 100;
    server.urlLifeMs = 31_000;
    const { disk } = await rig.open("win", source);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
    expect(valueOf(await disk.read(0, 512))).toEqual(bytes.slice(0, 512));
    expect(server.asked.filter(({ path }) => path.startsWith("/api/raw/")).length).toBe(2);
    expect(server.countOf("/api/images/win/stream-url")).toBe(2);
  });

  test("a clock that is wrong does not make every request ask for a URL", async () => {
    server.nowMs = () => 0;
    const { disk } = await rigOn().open("win", source);
    await disk.read(0, bytes.length);
    expect(server.countOf("/api/images/win/stream-url")).toBe(1);
  });

  const lies: Record<string, Mischief> = {
    truncated: { do: "truncate" },
    "too long": { do: "replace", bytes: new Uint8Array(WINDOW + 1) },
    "another range": { do: "headers", headers: { "content-range": `bytes 1-${WINDOW}/${bytes.length}` } },
    "no Content-Range": { do: "headers", headers: { "content-range": "" } },
    "a 500": { do: "status", status: 500 },
    "a hang-up": { do: "hang-up" },
    silence: { do: "silence" },
    "half and then silence": { do: "stall" },
  };
  test.each(Object.entries(lies))("right bytes come after an answer that is %s", async (_, lie) => {
    const { disk } = await rigOn().open("win", source);
    server.mischief = (asked, count) => (isWindow(asked) && count <= 3 ? lie : undefined);
    expect(valueOf(await disk.read(0, 4096))).toEqual(bytes.slice(0, 4096));
  });

  const changes: Record<string, Mischief> = {
    "a 200 with everything": { do: "whole-file" },
    "another ETag": { do: "headers", headers: { etag: '"v2"' } },
    "another size": {
      do: "headers",
      headers: { "content-range": `bytes 0-${WINDOW - 1}/${bytes.length + 1}` },
    },
    "a 416": { do: "status", status: 416 },
    "a 412": { do: "status", status: 412 },
  };
  test.each(Object.entries(changes))(
    "%s means that the image has changed: the guest waits",
    async (_, change) => {
      const rig = rigOn();
      const { disk } = await rig.open("win", source);
      server.mischief = (asked) => (isWindow(asked) ? change : undefined);
      let told: unknown = "nothing";
      void disk.read(0, 4096).then((outcome) => (told = outcome));
      const notice = await rig.heard("state", ({ failure }) => failure !== undefined);
      expect(notice).toMatchObject({ state: "offline", failure: { code: "image-changed" } });
      expect(notice.retryInMs).toBeUndefined();
      expect(told).toBe("nothing");
    },
  );

  test("a 200 for a range is not taken: its gigabytes stay where they are", async () => {
    const large = new Uint8Array(64 * 2 ** 20);
    server.raws.set("large", { bytes: large, etag: '"v1"' });
    const rig = rigOn();
    const { disk } = await rig.open("large", { kind: "raw", imageId: "large", sizeBytes: large.length });
    server.mischief = (asked) => (isWindow(asked) ? { do: "whole-file" } : undefined);
    const before = process.memoryUsage().arrayBuffers;
    void disk.read(0, 4096);
    await rig.heard("state", ({ failure }) => failure?.code === "image-changed");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 2 ** 20);
  });

  test("an encoded range is refused in words", async () => {
    const rig = rigOn();
    const { disk } = await rig.open("win", source);
    server.mischief = (asked) =>
      isWindow(asked) ? { do: "headers", headers: { "content-encoding": "br" } } : undefined;
    void disk.read(0, 4096);
    const { failure } = await rig.heard("state", ({ failure }) => failure !== undefined);
    expect(failure).toMatchObject({ code: "unsupported" });
  });

  test.each([
    ["a server that knows no ranges", { do: "whole-file" } as const, { code: "image-changed" }],
    ["an image that is gone", { do: "status", status: 404 } as const, { code: "not-found" }],
  ])("%s is a failure to open", async (_, mischief, failure) => {
    server.mischief = ({ path }) => (path.startsWith("/api/raw/") ? mischief : undefined);
    const { notice } = await rigOn().open("win", source);
    expect(notice).toMatchObject({ type: "open-failed", failure });
  });

  test("an image without a strong ETag cannot be pinned, and is refused", async () => {
    server.raws.set("win", { bytes, etag: 'W/"v1"' });
    const { notice } = await rigOn().open("win", source);
    expect(notice).toMatchObject({ type: "open-failed", failure: { code: "unsupported" } });
  });

  test("windows that were read are read again without a network, and a changed window in the cache is noticed", async () => {
    const files = new MemoryFolder();
    const first = rigOn(files);
    const one = await first.open("win", source);
    await one.disk.read(0, bytes.length);
    await first.end();

    server.mischief = () => ({ do: "hang-up" });
    const second = rigOn(afterKill(files));
    const two = await second.open("win", source);
    expect(valueOf(await two.disk.read(0, bytes.length))).toEqual(bytes);
    await second.end();

    const segment = files.folders.get("cache")!.files.get("segment-1")!;
    const contents = new Uint8Array(segment.sizeBytes);
    segment.read(contents, 0);
    const at = Buffer.from(contents).indexOf(bytes.subarray(5000, 5064));
    segment.write(new Uint8Array([contents[at]! ^ 1]), at);
    server.mischief = () => undefined;
    const third = rigOn(afterKill(files));
    const three = await third.open("win", source);
    server.forget();
    expect(valueOf(await three.disk.read(0, bytes.length))).toEqual(bytes);
    expect(server.asked.filter(isWindow).map(({ range }) => range)).toEqual(["bytes=0-262143"]);
  });

  test("a new version is another base: changes to the old one are refused", async () => {
    const files = new MemoryFolder();
    const { disk } = await rigOn(files).open("win", source);
    await disk.write(0, new Uint8Array(4096).fill(1));
    await disk.flush();
    server.raws.set("win", { bytes, etag: '"v2"' });
    const { notice } = await rigOn(afterKill(files)).open("win", source);
    expect(notice).toMatchObject({ type: "open-failed", failure: { code: "image-changed" } });
  });
});

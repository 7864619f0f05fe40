import { deflateRawSync } from "node:zlib";
import * as fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ChunkHash } from "#protocol/ids";
import type { DiskDefinition } from "#protocol/machine-definition";
import { encodeManifest } from "#protocol/manifest";
import { inflate } from "../../../emulator/storage/inflate.ts";
import { publishedImage, sampleDisk, sha256 } from "../../support/disk-image.ts";
import { ImageServer, type Mischief } from "../../support/image-server.ts";
import { valueOf } from "../../support/outcome.ts";
import { randomBytes, seededRandom } from "../../support/seeded-random.ts";
import { StorageRig } from "../../support/storage-rig.ts";

const image = publishedImage(sampleDisk(21));
const source: DiskDefinition = { kind: "chunked", manifest: image.manifest, sizeBytes: image.bytes.length };
const hashes = [...image.chunks.keys()];
const chunkOf = (path: string) => path.split("/").at(-1) as ChunkHash;

let server: ImageServer;
let rig: StorageRig;
beforeAll(async () => {
  server = await ImageServer.start();
});
afterAll(() => server.close());
afterEach(async () => {
  server.mischief = () => undefined;
  await rig.end();
});

const stored = (path: string) => image.chunks.get(chunkOf(path))!;
const lengthened = (bytes: Uint8Array) => new Uint8Array([...bytes, 0]);
const flipped = (bytes: Uint8Array<ArrayBuffer>) => {
  const copy = bytes.slice();
  copy[copy.length >> 1]! ^= 0x10;
  return copy;
};

/** Every way in which a server may lie about a chunk, twice; then it is honest. */
const lies: Record<string, (path: string) => Mischief> = {
  truncated: () => ({ do: "truncate" }),
  "one byte too long": (path) => ({ do: "replace", bytes: lengthened(stored(path)) }),
  "of a flipped bit": (path) => ({ do: "replace", bytes: flipped(stored(path)) }),
  "of zeros": (path) => ({ do: "replace", bytes: new Uint8Array(stored(path).length) }),
  "another chunk": (path) => ({
    do: "replace",
    bytes: stored(hashes.find((hash) => hash !== chunkOf(path))!),
  }),
  empty: () => ({ do: "replace", bytes: new Uint8Array(0) }),
  "10 MB": () => ({ do: "replace", bytes: new Uint8Array(10_000_000) }),
  "a page of HTML": () => ({ do: "replace", bytes: new TextEncoder().encode("<!doctype html>") }),
  "a 500": () => ({ do: "status", status: 500 }),
  "a 404": () => ({ do: "status", status: 404 }),
  "a 204": () => ({ do: "status", status: 204 }),
  "a hang-up": () => ({ do: "hang-up" }),
  silence: () => ({ do: "silence" }),
  "half and then silence": () => ({ do: "stall" }),
};

describe("a guest whose server lies about chunks", () => {
  test.each(Object.entries(lies))("gets right bytes after %s", async (_, lie) => {
    server.publish(image);
    server.mischief = ({ path }, count) =>
      path.startsWith("/api/chunks/") && count % 3 !== 0 ? lie(path) : undefined;
    rig = new StorageRig(server.origin);
    const { disk } = await rig.open("tiny", source);
    expect(valueOf(await disk.read(0, image.bytes.length))).toEqual(image.bytes);
    const { stats } = await rig.heard("stats", ({ stats }) => stats.chunkReads >= hashes.length);
    // What was counted as verified is no more than what was published: no lie was believed.
    expect(stats.verifiedBytes).toBeLessThanOrEqual(
      2 * hashes.reduce((sum, hash) => sum + image.chunks.get(hash)!.length, image.manifestBytes.length),
    );
  });

  test.each(Object.entries(lies))(
    "waits while the answer stays %s, and is never told anything",
    async (_, lie) => {
      server.publish(image);
      server.mischief = ({ path }) => (path.startsWith("/api/chunks/") ? lie(path) : undefined);
      rig = new StorageRig(server.origin);
      const { disk } = await rig.open("tiny", source);
      let told: unknown = "nothing";
      void disk.read(0, 4096).then((outcome) => (told = outcome));
      await rig.heard("state", ({ failure }) => failure !== undefined);
      expect(told).toBe("nothing");
    },
  );

  test("a wrong answer is fetched again past the caches in between", async () => {
    server.publish(image);
    server.mischief = ({ path }, count) =>
      path.startsWith("/api/chunks/") && count === 1 ? lies["of a flipped bit"]!(path) : undefined;
    server.forget();
    rig = new StorageRig(server.origin);
    const { disk } = await rig.open("other", source);
    await disk.read(0, 512);
    const path = `/api/chunks/${image.stored[0]!.hash}`;
    const asked = server.asked.filter((asked) => asked.path === path);
    expect(asked.at(-1)?.cacheControl).toBe("no-cache");
  });
});

describe("a guest whose image was published wrong", () => {
  /** An image whose first chunk is these stored bytes, hashed honestly. */
  function published(
    stored: Uint8Array<ArrayBuffer>,
    storedBytes: number,
    deflated: boolean,
  ): DiskDefinition {
    const hash = sha256(stored);
    const chunk = { hash, storedBytes, deflated };
    const manifest = valueOf(encodeManifest({ chunkBytes: 65536, sizeBytes: 65536, chunks: [chunk] }));
    server.objects.set(`/api/chunks/${hash}`, stored);
    server.objects.set(`/api/manifests/${sha256(manifest)}`, manifest);
    return { kind: "chunked", manifest: sha256(manifest), sizeBytes: 65536 };
  }
  const packed = (bytes: Uint8Array) => new Uint8Array(deflateRawSync(bytes, { level: 9 }));
  const noise = randomBytes(seededRandom(5), 40_000);

  test.each([
    ["inflates to too little", packed(new Uint8Array(65535).fill(1))],
    ["inflates to too much", packed(new Uint8Array(65537).fill(1))],
    ["is a bomb", packed(new Uint8Array(50_000_000))],
    ["is no deflate at all", noise],
    ["ends in the middle", packed(new Uint8Array(65536).fill(1)).slice(0, -3)],
    ["goes on after its end", new Uint8Array([...packed(new Uint8Array(65536).fill(1)), 1, 2, 3])],
  ])("hears that a chunk %s, and reads nothing", async (_, bytes) => {
    rig = new StorageRig(server.origin);
    const { disk } = await rig.open("bad", published(bytes, bytes.length, true));
    expect(await disk.read(0, 512)).toMatchObject({ ok: false, failure: { code: "bad-image" } });
  });

  test("hears of nothing but right bytes when the manifest names another stored length", async () => {
    const bytes = packed(new Uint8Array(65536).fill(1));
    rig = new StorageRig(server.origin);
    for (const length of [bytes.length - 1, bytes.length + 1]) {
      const { disk } = await rig.open(`bad ${length}`, published(bytes, length, true));
      const outcome = await Promise.race([disk.read(0, 512), rig.heard("state", ({ failure }) => !!failure)]);
      expect(outcome).not.toMatchObject({ ok: true });
    }
  });

  test("a bomb is stopped before it fills memory", async () => {
    rig = new StorageRig(server.origin);
    const bomb = packed(new Uint8Array(100_000_000));
    const before = process.memoryUsage().arrayBuffers;
    const outcome = await inflate(bomb, 65536);
    expect(outcome).toMatchObject({ failure: { code: "bad-image" } });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
  });
});

describe("a guest whose manifest was tampered with", () => {
  test("opens nothing: the name of the manifest is the hash of its bytes", async () => {
    rig = new StorageRig(server.origin);
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bytes = image.manifestBytes.slice();
        bytes[at % bytes.length]! ^= change;
        server.objects.set(`/api/manifests/${image.manifest}`, bytes);
        const { notice } = await rig.open("tiny", source);
        expect(notice).toMatchObject({ type: "open-failed", failure: { code: "corrupt" } });
      }),
      { numRuns: 5 },
    );
  });

  test("or, named honestly, reads right bytes where it tells the truth, and fails or waits elsewhere", async () => {
    server.publish(image);
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bytes = image.manifestBytes.slice();
        bytes[at % bytes.length]! ^= change;
        const manifest = sha256(bytes);
        server.objects.set(`/api/manifests/${manifest}`, bytes);
        rig = new StorageRig(server.origin);
        const { notice, disk } = await rig.open("tiny", { kind: "chunked", manifest, sizeBytes: 0 });
        const sizeBytes = notice?.type === "opened" ? notice.sizeBytes : 0;
        for (let offset = 0; offset + 65536 <= Math.min(sizeBytes, image.bytes.length); offset += 65536) {
          const waits = rig.heard("state", ({ failure }) => failure !== undefined).then(() => null);
          const outcome = await Promise.race([disk.read(offset, 65536), waits]);
          // A manifest that says "hole" means it: then zeros are its truth. Anything else is the published bytes.
          const isHole = outcome?.ok && outcome.value.every((byte) => byte === 0);
          const published = image.bytes.slice(offset, offset + 65536);
          expect(outcome?.ok && !isHole ? outcome.value : published).toEqual(published);
        }
        await rig.end();
      }),
      { numRuns: 25 },
    );
  });
});

import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ChunkHash } from "#protocol/ids";
import {
  CHUNK_BYTES,
  type Manifest,
  type ManifestContents,
  chunkAt,
  chunkLength,
  decodeManifest,
  encodeManifest,
  hashBytes,
  hashText,
} from "#protocol/manifest";
import { valueOf } from "../../support/outcome.ts";

const hash = (fill: number) => fill.toString(16).padStart(2, "0").repeat(32) as ChunkHash;

const anyStored = (length: number) =>
  fc.oneof(
    fc.constant(null),
    fc.record({
      hash: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(hashText),
      storedBytes: fc.constant(length),
      deflated: fc.constant(false),
    }),
    fc.record({
      hash: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(hashText),
      storedBytes: fc.integer({ min: 1, max: length }),
      deflated: fc.constant(true),
    }),
  );

/** Small disks of every shape: any chunk size, any length of the last chunk, holes anywhere. */
const anyContents: fc.Arbitrary<ManifestContents> = fc
  .record({ chunkBytes: fc.constantFrom(65536, CHUNK_BYTES), sizeBytes: fc.nat({ max: 40 * 65536 }) })
  .chain(({ chunkBytes, sizeBytes }) =>
    fc
      .tuple(
        ...Array.from({ length: Math.ceil(sizeBytes / chunkBytes) }, (_, index) =>
          anyStored(chunkLength({ chunkBytes, sizeBytes }, index)),
        ),
      )
      .map((chunks) => ({ chunkBytes, sizeBytes, chunks })),
  );

function reencoded(manifest: Manifest): Uint8Array {
  const { chunkBytes, sizeBytes, chunkCount } = manifest;
  const chunks = Array.from({ length: chunkCount }, (_, index) => chunkAt(manifest, index));
  return valueOf(encodeManifest({ chunkBytes, sizeBytes, chunks }));
}

describe("VRGM manifests", () => {
  test("what is encoded is decoded", () => {
    fc.assert(
      fc.property(anyContents, (contents) => {
        const manifest = valueOf(decodeManifest(valueOf(encodeManifest(contents))));
        expect(manifest.sizeBytes).toBe(contents.sizeBytes);
        expect(manifest.chunkCount).toBe(contents.chunks.length);
        expect(contents.chunks.map((_, index) => chunkAt(manifest, index))).toEqual(contents.chunks);
        const stored = contents.chunks.filter((chunk) => chunk !== null);
        expect(manifest.storedCount).toBe(stored.length);
        expect(manifest.storedBytes).toBe(stored.reduce((sum, { storedBytes }) => sum + storedBytes, 0));
      }),
    );
  });

  test("ranks count across blocks of the bitmap", () => {
    const chunks = Array.from({ length: 9000 }, (_, index) =>
      index % 3 === 0 ? null : { hash: hash(index % 251), storedBytes: 65536, deflated: false },
    );
    const contents = { chunkBytes: 65536, sizeBytes: 9000 * 65536, chunks };
    const manifest = valueOf(decodeManifest(valueOf(encodeManifest(contents))));
    for (const index of [0, 1, 2047, 2048, 2049, 4095, 4096, 8998, 8999])
      expect(chunkAt(manifest, index), `chunk ${index}`).toEqual(chunks[index]);
    expect(chunkAt(manifest, 9000)).toBeNull();
  });

  test("a changed manifest is refused, or says exactly what its bytes say", () => {
    fc.assert(
      fc.property(
        anyContents,
        fc.array(fc.record({ at: fc.nat(), value: fc.nat({ max: 255 }) }), { minLength: 1, maxLength: 4 }),
        (contents, changes) => {
          const bytes = valueOf(encodeManifest(contents));
          for (const { at, value } of changes) bytes[at % bytes.length] = value;
          const decoded = decodeManifest(bytes);
          expect(decoded.ok || decoded.failure.code).toBeOneOf([true, "bad-manifest"]);
          expect(decoded.ok ? reencoded(decoded.value) : bytes).toEqual(bytes);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("arbitrary bytes never throw, cut or lengthened manifests are refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => decodeManifest(bytes)).not.toThrow();
      }),
    );
    fc.assert(
      fc.property(anyContents, fc.integer({ min: -80, max: 80 }), (contents, by) => {
        const bytes = valueOf(encodeManifest(contents));
        const other = new Uint8Array(Math.max(0, bytes.length + by));
        other.set(bytes.subarray(0, other.length));
        expect(decodeManifest(other).ok).toBe(by === 0);
      }),
    );
  });

  test("sizes that would allocate much are refused before anything is allocated", () => {
    const bytes = valueOf(encodeManifest({ chunkBytes: 65536, sizeBytes: 0, chunks: [] }));
    const view = new DataView(bytes.buffer);
    view.setUint32(12, 0xffffffff, true);
    view.setUint32(16, 0xffffffff, true);
    view.setUint32(20, 0xff, true);
    expect(decodeManifest(bytes)).toMatchObject({ ok: false, failure: { code: "bad-manifest" } });
    view.setUint32(20, 0xffffffff, true);
    expect(decodeManifest(bytes)).toMatchObject({ failure: { problem: "The disk is larger than 1 TiB." } });
  });

  test("names are 64 lower-case digits of 32 bytes", () => {
    const name = "00ff".repeat(16);
    expect(hashText(hashBytes(name))).toBe(name);
  });
});

interface Vector {
  readonly name: string;
  readonly hex: string;
  readonly problem?: string;
  readonly chunks?: readonly unknown[];
}

/** Golden manifests: another implementation must agree on every one. */
describe("manifest vectors", () => {
  const file = new URL("../../vectors/manifest.json", import.meta.url);
  const vectors = JSON.parse(readFileSync(file, "utf8")) as readonly Vector[];
  const decoded = (vector: Vector) => decodeManifest(Uint8Array.from(Buffer.from(vector.hex, "hex")));

  const named = (vector: Vector) => [vector.name, vector] as const;

  test.each(vectors.filter(({ problem }) => problem).map(named))("refused: %s", (_, vector) => {
    const failure = { code: "bad-manifest", problem: vector.problem };
    expect(decoded(vector)).toEqual({ ok: false, failure });
  });

  test.each(vectors.filter(({ chunks }) => chunks).map(named))("read: %s", (_, vector) => {
    const manifest = valueOf(decoded(vector));
    const chunks = Array.from({ length: manifest.chunkCount }, (_, index) => chunkAt(manifest, index));
    expect(chunks).toEqual(vector.chunks);
  });
});

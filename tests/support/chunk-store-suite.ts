import { describe, expect, test } from "vitest";
import type { ChunkHash } from "#protocol/ids";
import type { ChunkStore } from "../../emulator/storage/chunk-store.ts";
import { sha256 } from "./disk-image.ts";
import { valueOf } from "./outcome.ts";
import { randomBytes, seededRandom } from "./seeded-random.ts";

export interface StoreUnderTest {
  readonly store: ChunkStore;
  /** Flips a bit of the stored bytes behind the store's back. */
  corrupt(hash: ChunkHash): void;
  /** Exchanges the stored bytes of two chunks of the same length. */
  swap(one: ChunkHash, other: ChunkHash): void;
}

const bytesOf = (seed: number, length: number) => randomBytes(seededRandom(seed), length);
const absent = "0".repeat(64) as ChunkHash;

/** The contract. Every ChunkStore runs this; a gap is skipped by name, with a reason. */
export function chunkStoreSuite(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`chunk store contract: ${name}`, () => {
    test("what goes in comes out, named by its SHA-256", async () => {
      const { store } = await make();
      for (const length of [1, 3, 4096, 65536, 262144]) {
        const bytes = bytesOf(length, length);
        const hash = valueOf(await store.put(bytes));
        expect(hash).toBe(sha256(bytes));
        expect(valueOf(await store.get(hash))).toEqual(bytes);
      }
    });

    test("putting the same bytes twice changes nothing", async () => {
      const { store } = await make();
      const bytes = bytesOf(1, 5000);
      const hash = valueOf(await store.put(bytes));
      expect(valueOf(await store.put(bytes.slice()))).toBe(hash);
      expect(valueOf(await store.get(hash))).toEqual(bytes);
    });

    test("changing the buffer after it was put changes nothing", async () => {
      const { store } = await make();
      const bytes = bytesOf(2, 5000);
      const hash = valueOf(await store.put(bytes));
      bytes.fill(0);
      expect(valueOf(await store.get(hash))).toEqual(bytesOf(2, 5000));
    });

    test("a flipped bit is a failure, never an answer", async () => {
      const { store, corrupt } = await make();
      const hash = valueOf(await store.put(bytesOf(3, 70000)));
      corrupt(hash);
      expect(await store.get(hash)).toMatchObject({ ok: false, failure: { code: "corrupt" } });
    });

    test("two chunks that changed places are failures", async () => {
      const { store, swap } = await make();
      const [one, other] = [
        valueOf(await store.put(bytesOf(4, 900))),
        valueOf(await store.put(bytesOf(5, 900))),
      ];
      swap(one, other);
      expect(await store.get(one)).toMatchObject({ ok: false, failure: { code: "corrupt" } });
      expect(await store.get(other)).toMatchObject({ ok: false, failure: { code: "corrupt" } });
    });

    test("an unknown name is not found", async () => {
      const { store } = await make();
      expect(await store.get(absent)).toMatchObject({ ok: false, failure: { code: "not-found" } });
    });

    test("more bytes than were asked for are not taken", async () => {
      const { store } = await make();
      const hash = valueOf(await store.put(bytesOf(6, 2000)));
      expect(await store.get(hash, { maxBytes: 1999 })).toMatchObject({ failure: { code: "corrupt" } });
      expect((await store.get(hash, { maxBytes: 2000 })).ok).toBe(true);
    });

    test("many at once do not disturb each other", async () => {
      const { store } = await make();
      const chunks = Array.from({ length: 24 }, (_, index) => bytesOf(100 + index, 3000 + index));
      const hashes = (await Promise.all(chunks.map((bytes) => store.put(bytes)))).map(valueOf);
      const back = await Promise.all(hashes.map((hash) => store.get(hash)));
      expect(back.map(valueOf)).toEqual(chunks);
    });
  });
}

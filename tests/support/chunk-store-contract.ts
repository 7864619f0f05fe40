import type { Outcome } from "#protocol/failure";
import type { ChunkHash } from "#protocol/ids";
import { type ChunkStore, hashOf } from "../../emulator/storage/chunk-store.ts";
import { randomBytes, seededRandom } from "./seeded-random.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface StoreUnderTest {
  readonly store: ChunkStore;
  /** Flips a bit of the stored bytes behind the store's back. */
  readonly corrupt: (hash: ChunkHash) => void | Promise<void>;
  /** Exchanges the stored bytes of two chunks of the same length. */
  readonly swap: (one: ChunkHash, other: ChunkHash) => void | Promise<void>;
}

const bytesOf = (seed: number, length: number): Bytes => randomBytes(seededRandom(seed), length);
const absent = "0".repeat(64) as ChunkHash;

function check(isRight: boolean, what: string): void {
  if (!isRight) throw new Error(what);
}

function value<T>(outcome: Outcome<T>): T {
  if (!outcome.ok) throw new Error(`a failure instead of a value: ${JSON.stringify(outcome.failure)}`);
  return outcome.value;
}

function checkBytes(outcome: Outcome<Bytes>, expected: Bytes): void {
  const bytes = value(outcome);
  const isSame = bytes.length === expected.length && bytes.every((byte, at) => byte === expected[at]);
  check(isSame, `${bytes.length} bytes came that are not the ${expected.length} that were put`);
}

const checkFailure = (outcome: Outcome<unknown>, code: string): void =>
  check(!outcome.ok && outcome.failure.code === code, `not the failure ${code}: ${JSON.stringify(outcome)}`);

/**
 * The contract of every `ChunkStore`, as cases that throw: they run under vitest in Node and, the same ones, in the
 * worker of a browser.
 */
export const chunkStoreContract: Record<string, (under: StoreUnderTest) => Promise<void>> = {
  async "what goes in comes out, named by its SHA-256"({ store }) {
    for (const length of [1, 3, 4096, 65536, 262144]) {
      const bytes = bytesOf(length, length);
      const hash = value(await store.put(bytes));
      check(hash === (await hashOf(bytes)), "the name is not the hash");
      checkBytes(await store.get(hash), bytes);
    }
  },

  async "putting the same bytes twice changes nothing"({ store }) {
    const bytes = bytesOf(1, 5000);
    const hash = value(await store.put(bytes));
    check(value(await store.put(bytes.slice())) === hash, "the second name is another");
    checkBytes(await store.get(hash), bytes);
  },

  async "changing the buffer after it was put changes nothing"({ store }) {
    const bytes = bytesOf(2, 5000);
    const hash = value(await store.put(bytes));
    bytes.fill(0);
    checkBytes(await store.get(hash), bytesOf(2, 5000));
  },

  async "a flipped bit is a failure, never an answer"({ store, corrupt }) {
    const hash = value(await store.put(bytesOf(3, 70000)));
    await corrupt(hash);
    checkFailure(await store.get(hash), "corrupt");
  },

  async "two chunks that changed places are failures"({ store, swap }) {
    const one = value(await store.put(bytesOf(4, 900)));
    const other = value(await store.put(bytesOf(5, 900)));
    await swap(one, other);
    checkFailure(await store.get(one), "corrupt");
    checkFailure(await store.get(other), "corrupt");
  },

  async "an unknown name is not found"({ store }) {
    checkFailure(await store.get(absent), "not-found");
  },

  async "more bytes than were asked for are not taken"({ store }) {
    const hash = value(await store.put(bytesOf(6, 2000)));
    checkFailure(await store.get(hash, { maxBytes: 1999 }), "corrupt");
    checkBytes(await store.get(hash, { maxBytes: 2000 }), bytesOf(6, 2000));
  },

  async "many at once do not disturb each other"({ store }) {
    const chunks = Array.from({ length: 24 }, (_, index) => bytesOf(100 + index, 3000 + index));
    const hashes = (await Promise.all(chunks.map((bytes) => store.put(bytes)))).map((put) => value(put));
    const back = await Promise.all(hashes.map((hash) => store.get(hash)));
    for (const [index, outcome] of back.entries()) checkBytes(outcome, chunks[index]!);
  },
};

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { PieceQueue } from "../../../durable-objects/gateway/piece-queue.ts";

const SEED = 20_261_122;
const MESSAGE_BYTES = 64 * 1024;

/** Everything that is left, and what its pieces keep from being freed. */
function drain(queue: PieceQueue) {
  const pieces: Uint8Array[] = [];
  for (let piece = queue.shift(); piece; piece = queue.shift()) pieces.push(piece);
  const buffers = new Set(pieces.map(({ buffer }) => buffer));
  const keptBytes = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
  return { bytes: Buffer.concat(pieces), pieces: pieces.length, keptBytes };
}

/** Stretches of messages, as segments lie in them, and bytes that are taken in between. */
const step = fc.oneof(
  fc.record({ length: fc.oneof(fc.nat(4), fc.nat(3000), fc.nat(MESSAGE_BYTES)), at: fc.nat(MESSAGE_BYTES) }),
  fc.record({ take: fc.nat(5000) }),
);

test(`whatever the sizes: every byte once and in order, and what is kept is bounded by them (seed ${SEED})`, () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new PieceQueue();
      const [given, taken]: [Buffer[], Uint8Array[]] = [[], []];
      for (const [index, wish] of steps.entries()) {
        if ("take" in wish) {
          const piece = queue.shift(wish.take);
          // It belongs to who took it: what comes later must not change it.
          if (piece) taken.push(piece);
          continue;
        }
        const message = new Uint8Array(MESSAGE_BYTES).fill(index + 1);
        const piece = message.subarray(wish.at, Math.min(wish.at + wish.length, MESSAGE_BYTES));
        given.push(Buffer.from(piece));
        queue.push(piece);
      }
      const left = queue.length;
      const rest = drain(queue);
      expect(rest.bytes.length).toBe(left);
      expect(queue.length).toBe(0);
      expect(Buffer.concat([...taken, rest.bytes])).toEqual(Buffer.concat(given));
      expect(rest.pieces).toBeLessThanOrEqual(left / 1024 + 3);
      expect(rest.keptBytes).toBeLessThanOrEqual(8 * left + MESSAGE_BYTES + 8192);
    }),
    { seed: SEED, numRuns: 300 },
  );
});

test("a megabyte in bytes, each of a message of its own, keeps two", () => {
  const queue = new PieceQueue();
  for (let count = 0; count < 2 ** 20; count++) queue.push(new Uint8Array(64).fill(count).subarray(7, 8));
  const { bytes, pieces, keptBytes } = drain(queue);
  expect(bytes.every((byte, at) => byte === (at & 255))).toBe(true);
  console.log(`${(keptBytes / 2 ** 20).toFixed(2)} MiB in ${pieces} pieces`);
  expect(keptBytes).toBeLessThanOrEqual(2 * 2 ** 20);
  expect(pieces).toBeLessThanOrEqual(1024);
});

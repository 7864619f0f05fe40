import { type Outcome, fail, ok } from "../protocol/failure.ts";

/**
 * Deflate expands by at most 1032, and a stream hands out everything that one piece of input makes before it can be
 * stopped. Small pieces keep a hostile chunk to 16 MiB.
 */
const PIECE_BYTES = 16384;

/** Pieces are pulled one at a time, so that none is inflated after the bound is reached. */
const piecesOf = (bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> => {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(at, at + PIECE_BYTES));
      at += PIECE_BYTES;
    },
  });
};

/** Inflates raw deflate (RFC 1951) that must give exactly `length` bytes; anything else is the image's fault. */
export async function inflate(
  stored: Uint8Array<ArrayBuffer>,
  length: number,
): Promise<Outcome<Uint8Array<ArrayBuffer>>> {
  const bad = (problem: string) => fail({ code: "bad-image", problem });
  const bytes = new Uint8Array(length);
  let done = 0;
  try {
    const reader = piecesOf(stored).pipeThrough(new DecompressionStream("deflate-raw")).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (done + part.value.length > length) {
        void reader.cancel().catch(() => {});
        return bad(`A chunk inflates to more than ${length} bytes.`);
      }
      bytes.set(part.value, done);
      done += part.value.length;
    }
  } catch {
    return bad("A chunk cannot be inflated.");
  }
  return done === length ? ok(bytes) : bad(`A chunk inflates to ${done} bytes, not ${length}.`);
}

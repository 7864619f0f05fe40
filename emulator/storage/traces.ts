import type { ChunkHash } from "../protocol/ids.ts";
import { MAX_TRACE_BYTES, MAX_TRACE_CHUNKS, Trace, tracePath } from "../protocol/store-api.ts";
import type { BlobCache } from "./blob-cache.ts";
import { hashOf, nameOf } from "./chunk-store.ts";
import { type Network, ask, statusFailure } from "./http.ts";
import type { ReadAhead } from "./read-ahead.ts";

/** First touches are kept at these times after a disk is opened; what a person does later is no boot. */
const SAVE_AFTER_MS = [5_000, 15_000, 30_000, 60_000];

const utf8 = new TextDecoder();

export function parseTrace(bytes: Uint8Array): readonly number[] {
  if (bytes.length > MAX_TRACE_BYTES) return [];
  try {
    const trace = Trace.safeParse(JSON.parse(utf8.decode(bytes)));
    return trace.success ? trace.data.chunks : [];
  } catch {
    return [];
  }
}

export const encodeTrace = (chunks: readonly number[]): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(
    JSON.stringify({ version: 1, chunks: chunks.slice(0, MAX_TRACE_CHUNKS) } satisfies Trace),
  );

async function kept(cache: BlobCache, name: ChunkHash): Promise<readonly number[]> {
  const bytes = await cache.getNamed(name);
  return bytes.ok ? parseTrace(bytes.value) : [];
}

async function keep(cache: BlobCache, name: ChunkHash, trace: readonly number[]): Promise<void> {
  const bytes = encodeTrace(trace);
  await cache.keep(name, await hashOf(bytes), bytes);
}

/** The trace that the publisher or others recorded, from the network or as it was when it was last read. */
async function sharedTrace(
  network: Network,
  cache: BlobCache,
  image: ChunkHash,
  boot: string,
): Promise<readonly number[]> {
  const name = await nameOf(`trace ${image} ${boot}`);
  const what = "the trace of earlier boots";
  const answer = await ask(network, tracePath(image, boot), {
    what,
    maxBytes: MAX_TRACE_BYTES,
    accept: ({ status }) => (status === 200 ? null : statusFailure(status, what)),
  });
  if (!answer.ok) return kept(cache, name);
  const trace = parseTrace(answer.value.bytes);
  await keep(cache, name, trace);
  return trace;
}

export interface TraceContext {
  readonly network: Network;
  readonly cache: BlobCache;
  readonly image: ChunkHash;
  readonly boot: string;
  /** False where there is no network to ask, as for raw images: only this device's own trace counts then. */
  readonly isShared: boolean;
}

/**
 * Lets the read-ahead of a disk follow what earlier boots touched, here and elsewhere, and keeps what this one touches.
 * Calling the answer ends that.
 */
export function followTraces(readAhead: ReadAhead, context: TraceContext): () => void {
  const { network, cache, image, boot } = context;
  const name = nameOf(`first touches ${image} ${boot}`);
  let savedCount = 0;
  const save = async (): Promise<void> => {
    const { touches } = readAhead;
    if (touches.length === savedCount) return;
    savedCount = touches.length;
    await keep(cache, await name, touches);
  };
  const cancels = SAVE_AFTER_MS.map((ms) => network.clock.after(ms, () => void save()));
  const follow = async (): Promise<void> => {
    const own = await kept(cache, await name);
    if (own.length > 0) readAhead.follow(own);
    const shared = context.isShared ? await sharedTrace(network, cache, image, boot) : [];
    if (shared.length > 0) readAhead.follow([...shared, ...own]);
  };
  void follow();
  return () => {
    for (const cancel of cancels) cancel();
  };
}

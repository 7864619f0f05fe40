import type { Outcome } from "../protocol/failure.ts";
import type { ChunkHash } from "../protocol/ids.ts";
import { CHUNK_BYTES, hashText } from "../protocol/manifest.ts";

export interface GetOptions {
  /** More bytes than this are not taken; a chunk is never larger than the default. */
  readonly maxBytes?: number;
  /** True after a wrong answer: no cache between here and the origin may answer again. */
  readonly bypassCaches?: boolean;
  /** Prefetch gives way to what the guest waits for. */
  readonly urgency?: Urgency;
  readonly signal?: AbortSignal;
}

/** `demand`: the guest waits for it. `ahead`: a guess. */
export type Urgency = "demand" | "ahead";

/**
 * Immutable bytes by content hash: chunks as they are stored, and manifests. `get` verifies: bytes that do not match
 * their name are the failure `corrupt`, never an answer. Absent bytes are `not-found`.
 */
export interface ChunkStore {
  get(hash: ChunkHash, options?: GetOptions): Promise<Outcome<Uint8Array<ArrayBuffer>>>;
  put(bytes: Uint8Array<ArrayBuffer>): Promise<Outcome<ChunkHash>>;
}

export const DEFAULT_MAX_BYTES = CHUNK_BYTES;

/** The name of bytes: their SHA-256. */
export const hashOf = async (bytes: Uint8Array<ArrayBuffer>): Promise<ChunkHash> =>
  hashText(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));

/** Names for things that are not named by their content, such as a block of a raw image: the SHA-256 of a sentence. */
export const nameOf = (sentence: string): Promise<ChunkHash> => hashOf(new TextEncoder().encode(sentence));

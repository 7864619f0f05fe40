import type { Outcome } from "../protocol/failure.ts";
import type { ChunkHash } from "../protocol/ids.ts";
import type { BlobCache } from "./blob-cache.ts";
import type { Urgency } from "./chunk-store.ts";
import type { Fetcher } from "./fetcher.ts";
import type { Ledger } from "./ledger.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What all images of one storage worker share. */
export interface Sources {
  readonly cache: BlobCache;
  readonly fetcher: Fetcher;
  readonly ledger: Ledger;
}

/** One version of a base image as blocks of one size (the last may be short), wherever they come from. */
export interface BlockSource {
  /** Names this version of the image: overlays are bound to it. */
  readonly id: ChunkHash;
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly blockCount: number;
  /** What the whole image takes in its store. */
  readonly storedBytes: number;
  /** What fetching a block takes; 0 for a hole, which is zeros because the verified manifest says so. */
  storedLength(index: number): number;
  /** Equal for blocks whose bytes are known to be equal. */
  memoryKey(index: number): string;
  /** True when the block is on this device. */
  isHere(index: number): boolean;
  /** The verified bytes of a block that is not a hole. A demand that cannot be met yet is pending, not failed. */
  load(index: number, urgency: Urgency): Promise<Outcome<{ bytes: Bytes; from: "cache" | "network" }>>;
  /** Brings a block to this device and no further. */
  prefetch(index: number): Promise<Outcome<null>>;
}

export const blockLength = (
  { sizeBytes, blockBytes }: Pick<BlockSource, "sizeBytes" | "blockBytes">,
  index: number,
) => Math.min(blockBytes, sizeBytes - index * blockBytes);

import type { Outcome } from "../protocol/failure.ts";

/**
 * A disk as the machine sees it. Offsets and lengths are bytes, multiples of 512, inside `sizeBytes`.
 * Operations may be in flight together; a write or discard is visible to every read that starts after it was called.
 * `read` never answers with bytes that were not verified, and never with zeros in place of bytes it could not get.
 */
export interface BlockDevice {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  read(offset: number, length: number): Promise<Outcome<Uint8Array>>;
  write(offset: number, bytes: Uint8Array): Promise<Outcome<null>>;
  /** Resolves when everything written before the call is durable. */
  flush(): Promise<Outcome<null>>;
  /** The range reads as zeros afterwards. */
  discard(offset: number, length: number): Promise<Outcome<null>>;
}

import { ok } from "#protocol/failure";
import type { BlockDevice } from "../../emulator/storage/block-device.ts";

/** A read-only disk of bytes in memory, as the base of overlays. */
export const ramDisk = (bytes: Uint8Array<ArrayBuffer>): BlockDevice & { readonly bytes: Uint8Array } => ({
  bytes,
  sizeBytes: bytes.length,
  readOnly: true,
  read: async (offset, length) => ok(bytes.slice(offset, offset + length)),
  write: async () => ok(null),
  flush: async () => ok(null),
  discard: async () => ok(null),
});

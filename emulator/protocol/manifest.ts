/**
 * The `VRGM` manifest: one version of one disk or file as an ordered list of chunks. Little endian.
 *
 * | off | size | field                                                                                  |
 * |-----|------|----------------------------------------------------------------------------------------|
 * | 0   | 4    | magic "VRGM"                                                                            |
 * | 4   | u16  | version = 1                                                                             |
 * | 6   | u16  | flags = 0                                                                               |
 * | 8   | u32  | chunk size in bytes: 65536 or 262144                                                    |
 * | 12  | u32  | number of stored chunks (holes are not stored)                                          |
 * | 16  | u64  | size of the disk in bytes, <= 1 TiB                                                     |
 * | 24  | u64  | 0                                                                                       |
 * | 32  | ⌈n/8⌉ | bitmap of the n = ⌈size / chunk size⌉ chunks, least significant bit first: 1 = stored, 0 = hole |
 * | …   | 36 each | per stored chunk, in order: u32 stored length, bit 31 = deflate-raw; SHA-256 of the stored bytes |
 *
 * Padding bits of the bitmap are 0 and nothing follows the last entry. A manifest is named by the SHA-256 of its bytes.
 */
export const MANIFEST_MAGIC = 0x4d475256;
export const MANIFEST_HEADER_BYTES = 32;
export const MANIFEST_ENTRY_BYTES = 36;
export const CHUNK_BYTES = 262144;
/** Bounds checked before anything is allocated. A raw chunk may not be larger than the chunk, a deflated one not larger either. */
export const MAX_DISK_BYTES = 2 ** 40;
export const MAX_MANIFEST_BYTES = 64 * 2 ** 20;

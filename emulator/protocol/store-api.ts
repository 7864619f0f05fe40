import * as z from "zod/mini";
import type { ChunkHash } from "./ids.ts";

/** Where the Worker serves what a storage worker reads, relative to the origin, and the shapes of its answers. */
export const chunkPath = (hash: ChunkHash): string => `/api/chunks/${hash}`;
export const manifestPath = (hash: ChunkHash): string => `/api/manifests/${hash}`;
export const tracePath = (manifest: ChunkHash, boot: string): string => `/api/traces/${manifest}/${boot}`;
export const streamUrlPath = (imageId: string): string =>
  `/api/images/${encodeURIComponent(imageId)}/stream-url`;

/** Bounds of a trace, checked before it is parsed and after. */
export const MAX_TRACE_BYTES = 2 ** 20;
export const MAX_TRACE_CHUNKS = 65536;

/**
 * The chunks of one manifest in the order in which an earlier boot first touched them, each at most once. It only
 * guides the prefetch: a wrong trace costs bytes, never correctness.
 */
export const Trace = z.object({
  version: z.literal(1),
  chunks: z
    .array(z.number().check(z.int(), z.minimum(0), z.maximum(2 ** 24)))
    .check(z.maxLength(MAX_TRACE_CHUNKS)),
});
export type Trace = z.infer<typeof Trace>;

/** Answer of `POST /api/images/:id/stream-url`: a URL that answers single ranges of the raw image until it expires. */
export const StreamUrl = z.object({
  url: z.string().check(z.minLength(1), z.maxLength(4096)),
  /** ISO 8601, by the server's clock. */
  auth: z.object({ type: z.literal("url"), expiresAt: z.string() }),
  size: z.number().check(z.int(), z.minimum(0)),
  etag: z.string(),
});
export type StreamUrl = z.infer<typeof StreamUrl>;

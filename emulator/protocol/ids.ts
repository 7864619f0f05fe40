import * as z from "zod/mini";

/** SHA-256 of the stored bytes of a chunk or manifest, 64 lower-case hex digits: its name. */
export const ChunkHash = z
  .string()
  .check(z.regex(/^[0-9a-f]{64}$/))
  .brand<"ChunkHash">();
export type ChunkHash = z.infer<typeof ChunkHash>;

/** The name of a published image in URLs: `/m/<slug>`. */
export const Slug = z.string().check(z.regex(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/));
export type Slug = z.infer<typeof Slug>;

/** The name of a raw image in the object store. */
export const RawId = z.string().check(z.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/));
export type RawId = z.infer<typeof RawId>;

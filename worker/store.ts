import { limits } from "./limits.ts";

/** Where each kind of object lives in the bucket. Chunks and manifests are named by their SHA-256 and never change. */
export const keys = {
  chunk: (hash: string) => `chunks/${hash}`,
  manifest: (hash: string) => `manifests/${hash}`,
  trace: (manifest: string, boot: string) => `traces/${manifest}/${boot}`,
  raw: (id: string) => `raw/${id}`,
} as const;

/** Which of these chunks are not stored, in order of hash. */
export async function missingChunks(store: R2Bucket, hashes: Iterable<string>): Promise<string[]> {
  const wanted = [...new Set(hashes)].sort();
  return wanted.length <= limits.headsPerQuestion
    ? missingByHead(store, wanted)
    : missingByListing(store, wanted);
}

async function missingByHead(store: R2Bucket, wanted: readonly string[]): Promise<string[]> {
  const found = await Promise.all(wanted.map(async (hash) => store.head(keys.chunk(hash))));
  return wanted.filter((_, index) => !found[index]);
}

/**
 * Walks the store's listing, which is sorted like `wanted`, jumping to the next hash that is asked for: at most one
 * call per thousand chunks of the store, and never more calls than hashes. An invocation may make only so many calls.
 */
async function missingByListing(store: R2Bucket, wanted: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  let next = 0;
  while (next < wanted.length) {
    // Sorts before the hash itself and after all but its closest neighbours: `startAfter` is exclusive.
    const startAfter = keys.chunk(wanted[next]!.slice(0, -1));
    const page = await store.list({ prefix: keys.chunk(""), startAfter, limit: 1000 });
    const present = new Set(page.objects.map((object) => object.key));
    const last = page.truncated ? page.objects.at(-1)?.key : undefined;
    do {
      const key = keys.chunk(wanted[next]!);
      if (last !== undefined && key > last) break;
      if (!present.has(key)) missing.push(wanted[next]!);
      next++;
    } while (next < wanted.length);
  }
  return missing;
}

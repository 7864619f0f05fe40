/** Gives back what old versions of images take in the cache directory. */
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ChunkHash } from "#protocol/ids.ts";
import { chunkAt } from "#protocol/manifest.ts";
import { type ImageStore, manifestsOf } from "./image-store.ts";

/** Versions of each image that stay: two checkouts may be in use. */
const VERSIONS = 2;
/** What nothing names any more stays this long: another process may be building, or running from it. */
const GRACE_MS = 24 * 3600 * 1000;

/** Removes all but the versions used last, then everything that is named by none and is older than a day. Answers the files removed. */
export async function prune(store: ImageStore, nowMs: number): Promise<number> {
  const chunks = new Set<string>();
  const manifests = new Set<string>();
  let removed = 0;
  for (const slug of store.slugs()) {
    const keys = store.keys(slug);
    for (const key of keys.slice(VERSIONS)) {
      store.forget(slug, key);
      removed++;
    }
    for (const key of keys.slice(0, VERSIONS)) {
      const record = store.find(slug, key);
      for (const name of record ? manifestsOf(record.definition) : []) manifests.add(name);
    }
  }
  for (const name of manifests) {
    const manifest = await store.manifest(name as ChunkHash);
    for (let index = 0; index < manifest.chunkCount; index++) {
      const chunk = chunkAt(manifest, index);
      if (chunk) chunks.add(chunk.hash);
    }
  }
  const sweep = (folder: string, kept: ReadonlySet<string>): void => {
    for (const name of readdirSync(join(store.directory, folder))) {
      const path = join(store.directory, folder, name);
      if (kept.has(name) || nowMs - statSync(path).mtimeMs < GRACE_MS) continue;
      rmSync(path, { recursive: true, force: true });
      removed++;
    }
  };
  sweep("chunks", chunks);
  sweep("manifests", manifests);
  sweep("traces", manifests);
  if (existsSync(join(store.directory, "work"))) sweep("work", new Set());
  return removed;
}

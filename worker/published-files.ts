import { type Outcome, fail, ok } from "#protocol/failure.ts";
import type { MachineDefinition } from "#protocol/machine-definition.ts";
import { type Manifest, chunkAt, decodeManifest } from "#protocol/manifest.ts";
import { keys, missingChunks } from "./store.ts";

interface Sizes {
  readonly sizeBytes: number;
  readonly storedBytes: number;
}

/** What a definition's files take, or why it cannot be published: something that it names is not stored. */
export async function checkDefinition(
  store: R2Bucket,
  definition: MachineDefinition,
): Promise<Outcome<Sizes>> {
  const chunked = new Map<string, number | undefined>();
  for (const { kernel, initrd } of definition.boot)
    for (const manifest of initrd ? [kernel, initrd] : [kernel]) chunked.set(manifest, undefined);
  let sizeBytes = 0;
  let storedBytes = 0;
  for (const disk of definition.disks) {
    sizeBytes += disk.sizeBytes;
    if (disk.kind === "chunked") {
      chunked.set(disk.manifest, disk.sizeBytes);
      continue;
    }
    const raw = await store.head(keys.raw(disk.imageId));
    if (raw?.size !== disk.sizeBytes) return badImage(`There is no raw disk ${disk.imageId} of this size.`);
    storedBytes += raw.size;
  }
  const chunks = new Map<string, number>();
  for (const [hash, wantedBytes] of chunked) {
    const manifest = await readManifest(store, hash);
    if (!manifest.ok) return manifest;
    if (wantedBytes !== undefined && manifest.value.sizeBytes !== wantedBytes)
      return badImage(`The disk ${hash} has ${manifest.value.sizeBytes} bytes, not ${wantedBytes}.`);
    collectChunks(manifest.value, chunks);
  }
  const missing = await missingChunks(store, chunks.keys());
  if (missing.length > 0)
    return badImage(`${missing.length} of ${chunks.size} chunks are not stored, the first is ${missing[0]}.`);
  for (const chunkBytes of chunks.values()) storedBytes += chunkBytes;
  return ok({ sizeBytes, storedBytes });
}

const badImage = (problem: string) => fail({ code: "bad-image", problem });

async function readManifest(store: R2Bucket, hash: string): Promise<Outcome<Manifest>> {
  const object = await store.get(keys.manifest(hash));
  if (!object) return badImage(`The manifest ${hash} is not stored.`);
  return decodeManifest(new Uint8Array(await object.arrayBuffer()));
}

/** Adds each chunk once, with the bytes that it takes. */
function collectChunks(manifest: Manifest, chunks: Map<string, number>): void {
  for (let index = 0; index < manifest.chunkCount; index++) {
    const chunk = chunkAt(manifest, index);
    if (chunk) chunks.set(chunk.hash, chunk.storedBytes);
  }
}

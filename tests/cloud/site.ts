import { SELF, applyD1Migrations, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeEach } from "vitest";
import type { StoredChunk } from "#protocol/manifest.ts";
import { encodeManifest, hashText } from "#protocol/manifest.ts";
import type { ChunkHash } from "#protocol/ids.ts";

const origin = "http://localhost:8787";
export const publisher = { authorization: "Bearer local-publisher" };

/** An empty store and an empty catalogue before every test. */
export const emptySite = () =>
  beforeEach(async () => {
    await reset();
    await applyD1Migrations(env.DB, env.MIGRATIONS);
  });

export const get = async (path: string, headers: Record<string, string> = {}) =>
  SELF.fetch(new URL(path, origin), { headers, redirect: "manual" });

export const send = async (
  method: string,
  path: string,
  body?: BodyInit,
  headers: Record<string, string> = publisher,
) => SELF.fetch(new URL(path, origin), { method, headers, ...(body !== undefined && { body }) });

export const post = async (
  path: string,
  value: unknown,
  headers: Record<string, string> = publisher,
  method = "POST",
) => send(method, path, JSON.stringify(value), { "content-type": "application/json", ...headers });

/** Status and body of an answer in JSON, for one-line expectations. */
export const outcome = async (response: Response): Promise<unknown[]> => [
  response.status,
  await response.json(),
];

export const sha256 = async (bytes: Uint8Array): Promise<ChunkHash> =>
  hashText(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));

/** Publishes one chunk and answers its hash. */
export async function putChunk(bytes: Uint8Array): Promise<ChunkHash> {
  const hash = await sha256(bytes);
  await send("PUT", `/api/publish/chunks/${hash}`, bytes);
  return hash;
}

/** The bytes and the name of a manifest over whole 64 KiB chunks; null is a hole. */
export async function manifestOf(chunks: readonly (StoredChunk | null)[]) {
  const encoded = encodeManifest({ chunkBytes: 65536, sizeBytes: chunks.length * 65536, chunks });
  if (!encoded.ok) throw new Error(encoded.failure.code);
  return { bytes: encoded.value, hash: await sha256(encoded.value) };
}

/** Speaks `/api/publish` (worker/publish.ts): bytes under their names first, the catalogue row that makes them a machine last. */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod/mini";
import { ChunkHash } from "#protocol/ids.ts";
import { CatalogueEntry, MachineDefinition } from "#protocol/machine-definition.ts";
import { chunkAt } from "#protocol/manifest.ts";
import { type ImageRecord, type ImageStore, manifestsOf } from "./image-store.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** As many hashes as one question may hold (worker/limits.ts). */
const HASHES_PER_QUESTION = 3000;
const CONCURRENCY = 6;
const TRIES = 5;

export interface Publication {
  readonly slug: string;
  readonly name: string;
  readonly description: string;
  readonly state: "ready" | "building";
  readonly definition: MachineDefinition | null;
}

export interface Progress {
  readonly sentBytes: number;
  readonly sentChunks: number;
  readonly missingChunks: number;
}

/** A refusal that trying again cannot mend. */
export class PublishError extends Error {}

interface Reply {
  readonly value?: unknown;
  readonly problem?: string;
  /** True when asking again would get the same answer. */
  readonly final?: boolean;
}

async function request(url: string, init: RequestInit): Promise<Reply> {
  try {
    const answer = await fetch(url, init);
    if (answer.ok) return { value: answer.status === 204 ? null : await answer.json() };
    const { status } = answer;
    const final = status < 500 && status !== 429 && status !== 408;
    return { final, problem: `${status} ${await answer.text()}` };
  } catch (error) {
    return {
      problem:
        error instanceof Error
          ? `${error.message} ${error.cause instanceof Error ? error.cause.message : ""}`
          : "no answer",
    };
  }
}

export class Publisher {
  readonly url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.url = url.replace(/\/+$/, "");
    this.#token = token;
  }

  /** One request, JSON back. Tries again what a network or a server may do better next time. */
  async send(method: string, path: string, body: Bytes | string): Promise<unknown> {
    const headers = {
      authorization: `Bearer ${this.#token}`,
      "content-type": typeof body === "string" ? "application/json" : "application/octet-stream",
    };
    for (let attempt = 1; ; attempt++) {
      const { final, problem, value } = await request(`${this.url}/api/publish${path}`, {
        method,
        headers,
        body,
      });
      if (problem === undefined) return value;
      if (final || attempt >= TRIES) throw new PublishError(`${method} ${path} at ${this.url}: ${problem}`);
      await sleep(250 * 2 ** attempt);
    }
  }

  async missing(hashes: readonly ChunkHash[]): Promise<ChunkHash[]> {
    const missing: ChunkHash[] = [];
    for (let at = 0; at < hashes.length; at += HASHES_PER_QUESTION) {
      const question = JSON.stringify({ hashes: hashes.slice(at, at + HASHES_PER_QUESTION) });
      const answer = z
        .object({ missing: z.array(ChunkHash) })
        .parse(await this.send("POST", "/missing", question));
      missing.push(...answer.missing);
    }
    return missing;
  }

  /** Sends the chunks that the server does not have, several at once. */
  async chunks(
    hashes: Iterable<ChunkHash>,
    read: (hash: ChunkHash) => Promise<Bytes>,
    onProgress?: (progress: Progress) => void,
  ): Promise<void> {
    const queue = await this.missing([...new Set(hashes)]);
    const missingChunks = queue.length;
    let sentBytes = 0;
    let sentChunks = 0;
    const lane = async (): Promise<void> => {
      for (let hash = queue.shift(); hash; hash = queue.shift()) {
        const bytes = await read(hash);
        await this.send("PUT", `/chunks/${hash}`, bytes);
        sentBytes += bytes.length;
        sentChunks++;
        onProgress?.({ sentBytes, sentChunks, missingChunks });
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  }

  async manifest(hash: ChunkHash, bytes: Bytes): Promise<void> {
    await this.send("PUT", `/manifests/${hash}`, bytes);
  }

  async trace(manifest: ChunkHash, boot: string, json: string): Promise<void> {
    await this.send("PUT", `/traces/${manifest}/${boot}`, json);
  }

  async image(publication: Publication): Promise<CatalogueEntry> {
    return CatalogueEntry.parse(await this.send("POST", "/images", JSON.stringify(publication)));
  }

  /** What the catalogue has under this name, or null. */
  async find(slug: string): Promise<CatalogueEntry | null> {
    const answer = await fetch(`${this.url}/api/images/${slug}`);
    return answer.ok ? CatalogueEntry.parse(await answer.json()) : null;
  }

  /** Files of a store: the chunks that are missing, then their manifests. */
  async files(
    store: ImageStore,
    manifests: readonly ChunkHash[],
    onProgress?: (progress: Progress) => void,
  ): Promise<void> {
    const hashes = new Set<ChunkHash>();
    for (const hash of manifests) {
      const manifest = await store.manifest(hash);
      for (let index = 0; index < manifest.chunkCount; index++) {
        const chunk = chunkAt(manifest, index);
        if (chunk) hashes.add(chunk.hash);
      }
    }
    const read = async (hash: ChunkHash): Promise<Bytes> => {
      const bytes = await store.chunks.get(hash);
      if (!bytes.ok)
        throw new PublishError(`The chunk ${hash} in ${store.directory} is ${bytes.failure.code}`);
      return bytes.value;
    };
    await this.chunks(hashes, read, onProgress);
    for (const hash of manifests) await this.manifest(hash, await store.manifestBytes(hash));
  }

  /** An image of a store with everything that it names. Nothing is sent when the catalogue has it already. */
  async record(
    store: ImageStore,
    record: ImageRecord,
    onProgress?: (progress: Progress) => void,
  ): Promise<CatalogueEntry> {
    const { slug, name, description, definition } = record;
    const known = await this.find(slug);
    const wanted: Publication = { slug, name, description, state: "ready", definition };
    if (known && isSame(known, wanted)) return known;
    await this.files(store, manifestsOf(definition), onProgress);
    return this.image(wanted);
  }
}

const isSame = (known: CatalogueEntry, wanted: Publication): boolean =>
  known.state === wanted.state &&
  known.name === wanted.name &&
  known.description === wanted.description &&
  JSON.stringify(known.definition) ===
    JSON.stringify(wanted.definition && MachineDefinition.parse(wanted.definition));

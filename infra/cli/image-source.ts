/** Finds what a person named: a file, an image of a server, or one that was built on this host. */
import { existsSync, statSync } from "node:fs";
import type { ChunkHash } from "#protocol/ids.ts";
import { Slug } from "#protocol/ids.ts";
import { CatalogueEntry, type MachineDefinition } from "#protocol/machine-definition.ts";
import { MAX_TRACE_BYTES, manifestPath, tracePath } from "#protocol/store-api.ts";
import type { Origin } from "../../emulator/storage/chunked-image.ts";
import { realClock } from "../../emulator/storage/clock.ts";
import { type Network, SILENCE_MS } from "../../emulator/storage/http.ts";
import { HttpChunkStore } from "../../emulator/storage/http-chunk-store.ts";
import { LayeredStore } from "../headless/layered-store.ts";
import { ImageStore } from "../store/image-store.ts";
import { LOCAL_URL } from "./server.ts";

export interface NamedImage {
  readonly kind: "image";
  readonly slug: string;
  readonly name: string;
  readonly definition: MachineDefinition;
  readonly origin: Origin;
  /** Where it was found, in words. */
  readonly from: string;
  trace(manifest: ChunkHash, boot: string): Promise<string | null>;
}

export interface NamedFile {
  readonly kind: "file";
  readonly path: string;
}

export function serverOrigin(url: string, store = new ImageStore()): Origin {
  const network: Network = { fetch, clock: realClock, origin: url, silenceMs: SILENCE_MS };
  return {
    chunks: new LayeredStore(store.chunks, new HttpChunkStore(network)),
    manifests: new LayeredStore(store.manifests, new HttpChunkStore(network, manifestPath, "manifest")),
  };
}

export const localOrigin = (store = new ImageStore()): Origin => ({
  chunks: store.chunks,
  manifests: store.manifests,
});

/** The catalogue's row, null when there is none, undefined when no server answers. */
async function catalogueRow(url: string, slug: string): Promise<CatalogueEntry | null | undefined> {
  const answer = await fetch(`${url}/api/images/${slug}`, { signal: AbortSignal.timeout(5000) }).catch(
    () => undefined,
  );
  if (!answer || answer.status >= 500) return undefined;
  return answer.ok ? CatalogueEntry.parse(await answer.json()) : null;
}

async function serverTrace(url: string, manifest: ChunkHash, boot: string): Promise<string | null> {
  const answer = await fetch(url + tracePath(manifest, boot)).catch(() => null);
  const text = answer?.ok ? await answer.text() : "";
  return text && text.length <= MAX_TRACE_BYTES ? text : null;
}

function fromServer(url: string, { slug, name, definition }: CatalogueEntry): NamedImage {
  if (!definition) throw new Error(`${name} is still being built.`);
  const trace = (manifest: ChunkHash, boot: string) => serverTrace(url, manifest, boot);
  return { kind: "image", slug, name, definition, origin: serverOrigin(url), from: url, trace };
}

function fromStore(store: ImageStore, slug: string): NamedImage | null {
  const record = store.latest(slug);
  const trace = async (manifest: ChunkHash, boot: string) => store.trace(manifest, boot);
  return record && { kind: "image", ...record, origin: localOrigin(store), from: store.directory, trace };
}

/** A path is a file; any other name is asked of the server, and of this host's images when no server was named or is up. */
export async function findImage(name: string, givenUrl?: string): Promise<NamedImage | NamedFile> {
  if (existsSync(name) && statSync(name).isFile()) return { kind: "file", path: name };
  if (!Slug.safeParse(name).success) throw new Error(`There is no file ${name}.`);
  const url = (givenUrl ?? LOCAL_URL).replace(/\/+$/, "");
  const row = await catalogueRow(url, name);
  if (row?.definition || (row && givenUrl)) return fromServer(url, row);
  if (row === undefined && givenUrl) throw new Error(`No server answers at ${url}.`);
  const built = givenUrl ? null : fromStore(new ImageStore(), name);
  if (built) return built;
  const known = row === undefined ? `no server answers at ${url}, and ` : "";
  throw new Error(
    `There is no image ${name}: ${known}none was built here. "npm start" builds tiny and debian.`,
  );
}

/** Where the demo images come from: this host's packages, what was built before, or a published set. */
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod/mini";
import { CatalogueEntry } from "#protocol/machine-definition.ts";
import { MAX_MANIFEST_BYTES, chunkAt, decodeManifest } from "#protocol/manifest.ts";
import { serverOrigin } from "../cli/image-source.ts";
import { valueOf } from "../headless/disks.ts";
import { aptProblem, listsAreMissing, updateLists } from "../host/apt.ts";
import { IMAGE_TOOLS, UNPRIVILEGED_TOOLS, ensurePackages, installAdvice, isRoot } from "../host/packages.ts";
import { DEMO_IMAGES, type DemoImage, ImageBuilder } from "../images/build.ts";
import { type ImageRecord, ImageStore, manifestsOf } from "../store/image-store.ts";

export type Say = (line: string) => void;

/** Something that gives the demo images one after the other, the quickest first. */
export interface ImageSupply {
  readonly store: ImageStore;
  images(): AsyncGenerator<ImageRecord>;
  /** Those that will come, so that the gallery can show them as being built. */
  readonly expected: readonly {
    readonly slug: string;
    readonly name: string;
    readonly description: string;
  }[];
}

/** Nothing can be had here; the words say what a person can do about it. */
export class NoImages extends Error {}

const EXPECTED: readonly { slug: DemoImage; name: string; description: string }[] = [
  { slug: "tiny", name: "Tiny Linux", description: "Linux and BusyBox." },
  {
    slug: "debian",
    name: "Debian 12",
    description: "A 64-bit Debian with bash, Python, a C compiler, curl and apt.",
  },
];

const advice = (problem: string): string =>
  `The demo images are made from Debian 12 packages, but ${problem}. One of these helps:
  a container:      docker run --rm -it --network host -v "$PWD":/virga -w /virga node:24-bookworm npm start
  a published set:  VIRGA_IMAGES=<URL of a Virga server, or a copy of another host's ~/.cache/virga> npm start
  none of them:     npm start -- --without-images`;

export function imageSupply(say: Say): ImageSupply {
  const published = process.env["VIRGA_IMAGES"];
  if (published)
    return /^https?:/.test(published) ? serverSupply(published, say) : directorySupply(published);
  const store = new ImageStore();
  const problem = aptProblem() ?? missingTools(say);
  if (problem === null) return builtSupply(store, say);
  const kept = DEMO_IMAGES.map((slug) => store.latest(slug)).filter((record) => record !== null);
  if (kept.length < DEMO_IMAGES.length)
    throw new NoImages(problem.startsWith("These Debian packages") ? problem : advice(problem));
  return recordSupply(store, kept);
}

function missingTools(say: Say): string | null {
  const missing = ensurePackages(isRoot() ? IMAGE_TOOLS : UNPRIVILEGED_TOOLS, say);
  return missing.length > 0 ? installAdvice(missing) : null;
}

const recordSupply = (store: ImageStore, records: readonly ImageRecord[]): ImageSupply => ({
  store,
  expected: records,
  async *images() {
    yield* records;
  },
});

function directorySupply(directory: string): ImageSupply {
  if (!existsSync(directory)) throw new NoImages(`VIRGA_IMAGES names ${directory}, which is not there.`);
  const store = new ImageStore(directory);
  const records = store
    .slugs()
    .map((slug) => store.latest(slug))
    .filter((record) => record !== null);
  if (records.length === 0) throw new NoImages(`There are no images in ${directory}.`);
  return recordSupply(store, records);
}

/** Builds with what the servers have now; when they cannot be asked, with what was built last. */
function builtSupply(store: ImageStore, say: Say): ImageSupply {
  const images = async function* (): AsyncGenerator<ImageRecord> {
    if (isRoot() && listsAreMissing()) updateLists();
    const builder = new ImageBuilder(store, say);
    try {
      for (const { slug } of EXPECTED) yield await builtOrKept(builder, store, slug, say);
    } finally {
      builder.close();
    }
  };
  return { store, expected: EXPECTED, images };
}

async function builtOrKept(
  builder: ImageBuilder,
  store: ImageStore,
  slug: DemoImage,
  say: Say,
): Promise<ImageRecord> {
  try {
    return await builder.image(slug);
  } catch (error) {
    // The lists may be older than what the servers still have.
    if (isRoot()) {
      updateLists();
      await sleep(1000);
      const again = await builder.image(slug).catch(() => null);
      if (again) return again;
    }
    const kept = store.latest(slug);
    if (!kept) throw error;
    say(
      `${slug}: cannot be built now, the one built before is used (${error instanceof Error ? error.message.split("\n")[0] : "unknown"})`,
    );
    return kept;
  }
}

/** Copies the images of a server into this host's store; chunks that are here already are not asked for. */
function serverSupply(url: string, say: Say): ImageSupply {
  const store = new ImageStore();
  const base = url.replace(/\/+$/, "");
  const images = async function* (): AsyncGenerator<ImageRecord> {
    const answer = await fetch(`${base}/api/images`);
    const { images: rows } = z.object({ images: z.array(CatalogueEntry) }).parse(await answer.json());
    for (const { slug, name, description, definition } of rows) {
      const isChunked = definition?.disks.every(({ kind }) => kind === "chunked") ?? false;
      if (!definition || !isChunked) continue;
      say(`${slug}: copying from ${base}`);
      const record = { slug, name, description, definition };
      await copyFiles(store, base, record);
      store.save(record, "copied");
      yield record;
    }
  };
  return { store, expected: [], images };
}

async function copyFiles(store: ImageStore, url: string, { definition }: ImageRecord): Promise<void> {
  const origin = serverOrigin(url, store);
  for (const name of manifestsOf(definition)) {
    const manifest = valueOf(
      decodeManifest(valueOf(await origin.manifests.get(name, { maxBytes: MAX_MANIFEST_BYTES }))),
    );
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < manifest.chunkCount) {
        const chunk = chunkAt(manifest, next++);
        if (chunk) valueOf(await origin.chunks.get(chunk.hash));
      }
    };
    await Promise.all(Array.from({ length: 6 }, lane));
  }
}

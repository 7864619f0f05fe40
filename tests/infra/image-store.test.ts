import { existsSync, mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { imageSupply } from "../../infra/stack/demo-images.ts";
import { ImageStore, type ImageRecord, manifestsOf } from "../../infra/store/image-store.ts";
import { prune } from "../../infra/store/prune.ts";
import { Publisher } from "../../infra/store/publisher.ts";
import { builtSite } from "../node/built-site.ts";

const site = builtSite();
const work = mkdtempSync(join(tmpdir(), "virga-store-"));
const { XDG_CACHE_HOME, VIRGA_IMAGES } = process.env;
afterEach(() => {
  for (const [name, value] of Object.entries({ XDG_CACHE_HOME, VIRGA_IMAGES }))
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const text = (words: string): Uint8Array => new TextEncoder().encode(words);

async function addVersion(store: ImageStore, slug: string, key: string, words: string): Promise<ImageRecord> {
  const kernel = await store.addBytes(text("kernel"));
  const { manifest, sizeBytes } = await store.addBytes(text(words));
  const boot = [{ id: "shell", label: "Shell", kernel: kernel.manifest, commandLine: "" }];
  const record: ImageRecord = {
    slug,
    name: slug,
    description: words,
    definition: { version: 1, memoryMiB: 64, boot, disks: [{ kind: "chunked", manifest, sizeBytes }] },
  };
  store.save(record, key);
  return record;
}

/** Makes a file look as if it had been written so many days ago. */
function age(path: string, days: number): void {
  const then = new Date(Date.now() - days * 86_400_000);
  utimesSync(path, then, then);
}

describe("image store", () => {
  test("an image is found by its recipe while all its files are there", async () => {
    const store = new ImageStore(join(work, "found"));
    const record = await addVersion(store, "a", "k1", "one");
    expect(store.find("a", "k1")).toEqual(record);
    expect([store.find("a", "k2"), store.latest("b")]).toEqual([null, null]);
    const [first] = record.definition.disks;
    rmSync(
      store.manifests.fileOf(first?.kind === "chunked" ? first.manifest : manifestsOf(record.definition)[0]!),
    );
    expect([store.find("a", "k1"), store.latest("a")]).toEqual([null, null]);
  });

  test("the version used last is the latest", async () => {
    let now = Date.now();
    const store = new ImageStore(join(work, "latest"), () => (now += 1000));
    await addVersion(store, "a", "old", "one");
    await addVersion(store, "a", "new", "two");
    age(join(store.directory, "images/a/old.json"), 2);
    age(join(store.directory, "images/a/new.json"), 1);
    expect(store.latest("a")?.description).toBe("two");
    store.find("a", "old");
    expect(store.latest("a")?.description).toBe("one");
  });

  test("pruning keeps two versions, what they name, and what is younger than a day", async () => {
    const store = new ImageStore(join(work, "pruned"));
    for (const [index, words] of ["one", "two", "three"].entries()) {
      await addVersion(store, "a", `k${index}`, words);
      age(join(store.directory, `images/a/k${index}.json`), 10 - index);
    }
    for (const folder of ["chunks", "manifests"])
      for (const name of readdirSync(join(store.directory, folder)))
        age(join(store.directory, folder, name), 5);
    await store.addBytes(text("young"));
    expect(await prune(store, Date.now())).toBe(3);
    expect(store.keys("a").toSorted()).toEqual(["k1", "k2"]);
    expect([store.find("a", "k1")?.description, store.find("a", "k2")?.description]).toEqual([
      "two",
      "three",
    ]);
    expect(readdirSync(join(store.directory, "chunks")).length).toBe(4);
    expect(await prune(store, Date.now())).toBe(0);
  });
});

describe("a published set in place of packages", () => {
  const supplied = async (images: string): Promise<ImageRecord[]> => {
    process.env["VIRGA_IMAGES"] = images;
    const records: ImageRecord[] = [];
    for await (const record of imageSupply(() => {}).images()) records.push(record);
    return records;
  };

  test("a directory that was copied from another host", async () => {
    const store = new ImageStore(join(work, "copied"));
    const record = await addVersion(store, "a", "k", "one");
    expect(await supplied(store.directory)).toEqual([record]);
  });

  test("a server: manifests and chunks are copied, each once", async () => {
    const origin = new ImageStore(join(work, "origin"));
    const record = await addVersion(origin, "from-server", "k", "served");
    await new Publisher(site.url.href, process.env["VIRGA_PUBLISH_TOKEN"] ?? "").record(origin, record);
    process.env["XDG_CACHE_HOME"] = join(work, "cache");
    expect(await supplied(site.url.origin)).toEqual([record]);
    const copy = new ImageStore();
    expect(copy.latest("from-server")).toEqual(record);
    expect(readdirSync(join(copy.directory, "chunks")).toSorted()).toEqual(
      readdirSync(join(origin.directory, "chunks")).toSorted(),
    );
  });

  test("nothing there is said in words", () => {
    process.env["VIRGA_IMAGES"] = join(work, "nowhere");
    expect(() => imageSupply(() => {})).toThrow("is not there");
    expect(existsSync(join(work, "nowhere"))).toBe(false);
  });
});

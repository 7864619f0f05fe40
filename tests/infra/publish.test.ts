import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ChunkHash } from "#protocol/ids.ts";
import { CatalogueEntry } from "#protocol/machine-definition.ts";
import { CHUNK_BYTES } from "#protocol/manifest.ts";
import { ImageStore, type ImageRecord } from "../../infra/store/image-store.ts";
import { Publisher } from "../../infra/store/publisher.ts";
import { builtSite } from "../node/built-site.ts";
import { randomBytes, seededRandom } from "../support/seeded-random.ts";

const site = builtSite();
const work = mkdtempSync(join(tmpdir(), "virga-publish-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));
const token = process.env["VIRGA_PUBLISH_TOKEN"] ?? "";
const disk = new Uint8Array(40 * CHUNK_BYTES);
disk.set(randomBytes(seededRandom(11), 5 * CHUNK_BYTES), 7 * CHUNK_BYTES);
disk.set(new TextEncoder().encode("the end"), disk.length - 512);

let publisher: Publisher;
let requests: string[];
beforeAll(() => {
  publisher = new Publisher(site.url.href, token);
});

/** What a publisher asks of the server while `work` runs. */
async function asked<T>(run: () => Promise<T>): Promise<{ value: T; puts: string[] }> {
  requests = [];
  const real = globalThis.fetch;
  globalThis.fetch = (input, init) => {
    const url = input instanceof Request ? input.url : input.toString();
    requests.push(`${init?.method ?? "GET"} ${url.replace(site.url.origin, "")}`);
    return real(input, init);
  };
  try {
    const value = await run();
    return {
      value,
      puts: requests.filter((request) => request.startsWith("PUT") || request.includes("/images")),
    };
  } finally {
    globalThis.fetch = real;
  }
}

async function record(store: ImageStore): Promise<ImageRecord> {
  const kernel = await store.addBytes(new TextEncoder().encode("a kernel"));
  const { manifest, sizeBytes } = await store.addBytes(disk);
  const boot = [{ id: "shell", label: "Shell", kernel: kernel.manifest, commandLine: "root=/dev/vda" }];
  return {
    slug: "sample",
    name: "Sample",
    description: "A sample.",
    definition: { version: 1, memoryMiB: 64, boot, disks: [{ kind: "chunked", manifest, sizeBytes }] },
  };
}

describe("publishing to the built Worker", () => {
  test("a built image: its chunks, its manifests, its row; and nothing the second time", async () => {
    const store = new ImageStore(join(work, "store"));
    const image = await record(store);
    const first = await asked(() => publisher.record(store, image));
    expect(first.puts.filter((put) => put.includes("/chunks/")).length).toBe(7);
    expect(first.puts.filter((put) => put.includes("/manifests/")).length).toBe(2);
    expect(first.value).toMatchObject({ state: "ready", sizeBytes: disk.length });
    const second = await asked(() => publisher.record(store, image));
    expect(second.puts).toEqual(["GET /api/images/sample"]);
  });

  test("a new version sends only what is new", async () => {
    const store = new ImageStore(join(work, "store"));
    const image = await record(store);
    const changed = disk.slice();
    changed[8 * CHUNK_BYTES] = changed[8 * CHUNK_BYTES]! ^ 1;
    const { manifest, sizeBytes } = await store.addBytes(changed);
    const definition = { ...image.definition, disks: [{ kind: "chunked" as const, manifest, sizeBytes }] };
    const { puts } = await asked(() => publisher.record(store, { ...image, definition }));
    expect(puts.filter((put) => put.includes("/chunks/")).length).toBe(1);
  });

  test("a wrong token is refused in words and at once", async () => {
    const stranger = new Publisher(site.url.href, "wrong");
    await expect(stranger.missing(["0".repeat(64) as ChunkHash])).rejects.toThrow("401");
  });

  test("a chunk that is missing from the store stops the publication", async () => {
    const store = new ImageStore(join(work, "holed"));
    const image = await record(store);
    const [first] = image.definition.disks;
    const manifest = first?.kind === "chunked" ? first.manifest : ("" as ChunkHash);
    const bytes = await store.manifestBytes(manifest);
    const other = new ImageStore(join(work, "empty"));
    writeFileSync(other.manifests.fileOf(manifest), bytes);
    const fresh = new Publisher(site.url.href, token);
    fresh.missing = async (hashes) => [...hashes];
    await expect(fresh.files(other, [manifest])).rejects.toThrow("not-found");
  });
});

const virga = (...args: string[]) =>
  promisify(execFile)(process.execPath, [join(import.meta.dirname, "../../infra/cli/virga.ts"), ...args], {
    env: { ...process.env, XDG_CACHE_HOME: join(work, "cache"), VIRGA_PUBLISH_TOKEN: token },
  }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      code,
      stdout,
      stderr,
    }),
  );

describe("the command line", () => {
  const image = join(work, "disk.img");
  const kernel = join(work, "vmlinux");
  beforeAll(() => {
    writeFileSync(image, disk);
    writeFileSync(kernel, "a kernel");
  });
  const publish = (...args: string[]) =>
    virga(
      "publish",
      image,
      "--kernel",
      kernel,
      "--name",
      "My disk",
      "--url",
      site.url.origin,
      "--cmdline",
      "root=/dev/vda quiet",
      ...args,
    );
  const row = async (slug: string) =>
    CatalogueEntry.parse(await (await fetch(new URL(`/api/images/${slug}`, site.url))).json());

  test("publishes a disk, the same one twice under the same manifest", async () => {
    const first = await publish("--slug", "mine", "--boot", "shell:A shell", "--memory", "256");
    expect(first).toMatchObject({ code: 0, stdout: `${site.url.origin}/m/mine\n` });
    const mine = await row("mine");
    expect(mine.definition).toMatchObject({
      memoryMiB: 256,
      boot: [{ id: "shell", label: "A shell", commandLine: "root=/dev/vda quiet" }],
    });
    await publish("--slug", "again", "--boot", "shell:A shell", "--memory", "256");
    expect((await row("again")).definition).toEqual(mine.definition);
  });

  test("publishes a raw disk, which is read by Range", async () => {
    expect((await publish("--slug", "raw", "--raw")).code).toBe(0);
    const [first] = (await row("raw")).definition?.disks ?? [];
    if (first?.kind !== "raw") throw new Error("the disk is not raw");
    const answer = await fetch(new URL(`/api/images/${first.imageId}/stream-url`, site.url), {
      method: "POST",
    });
    const { url } = (await answer.json()) as { url: string };
    const part = await fetch(new URL(url, site.url), {
      headers: { range: `bytes=${disk.length - 512}-${disk.length - 506}` },
    });
    expect([part.status, await part.text()]).toEqual([206, "the end"]);
  });

  test("inspects an image of the server and a raw disk alike", async () => {
    const served = JSON.parse(
      (await virga("inspect", "mine", "--url", site.url.origin, "--json")).stdout,
    ) as { files: { chunks: number; holes: number }[] };
    expect(served.files[1]).toMatchObject({ chunks: 6, holes: 34, storedBytes: expect.any(Number) });
    const local = JSON.parse((await virga("inspect", image, "--json")).stdout) as { files: unknown[] };
    expect(local.files[0]).toEqual(served.files[1]);
    expect((await virga("inspect", "mine", "--url", site.url.origin)).stdout).toContain(
      "34 holes, 6 different",
    );
  });

  test.each([
    [["publish", image, "--name", "x", "--slug", "Not A Slug"], 1, "slug"],
    [["publish", image, "--name", "x"], 1, "--slug"],
    [["publish", image, "--name", "x", "--slug", "x", "--memory", "4"], 1, "16 to 3072"],
    [
      ["publish", image, "--name", "x", "--slug", "x", "--url", "https://virga.example"],
      125,
      "No Linux root",
    ],
    [["run", "no-such-image", "--url", "http://127.0.0.1:1"], 125, "No server answers"],
    [["run", "/no/such/file"], 125, "There is no file"],
    [["fly"], 1, "unknown command"],
  ])("says what is wrong with %j", async (args, code, words) => {
    const answer = await virga(...args);
    expect([answer.code, answer.stderr.includes(words) || answer.stderr]).toEqual([code, true]);
  });

  test("knows its version and is executable as it is", async () => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as {
      version: string;
    };
    expect((await virga("--version")).stdout.trim()).toBe(version);
    expect(existsSync(join(import.meta.dirname, "../../infra/cli/virga.ts"))).toBe(true);
  });
});

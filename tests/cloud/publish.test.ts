import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { ChunkHash } from "#protocol/ids.ts";
import type { MachineDefinition } from "#protocol/machine-definition.ts";
import { emptySite, get, manifestOf, outcome, post, publisher, putChunk, send, sha256 } from "./site.ts";

emptySite();
const chunk = new Uint8Array(100).fill(1);
const image = {
  slug: "tiny",
  name: "Tiny",
  description: "A kernel and a shell",
  state: "building",
  definition: null,
};

/** A manifest of one stored chunk and one hole, published with its chunk. */
async function publishFile(bytes: Uint8Array = chunk) {
  const hash = await putChunk(bytes);
  const manifest = await manifestOf([{ hash, storedBytes: bytes.length, deflated: true }, null]);
  const response = await send("PUT", `/api/publish/manifests/${manifest.hash}`, manifest.bytes);
  expect(response.status).toBe(201);
  return manifest.hash;
}

const machine = (file: ChunkHash, disks: MachineDefinition["disks"]): MachineDefinition => ({
  version: 1,
  memoryMiB: 256,
  boot: [{ id: "shell", label: "Shell", kernel: file, commandLine: "console=ttyS0" }],
  disks,
});

describe("only publishers publish", () => {
  const doors: [string, string][] = [
    ["PUT", `/api/publish/chunks/${"0".repeat(64)}`],
    ["PUT", `/api/publish/manifests/${"0".repeat(64)}`],
    ["PUT", `/api/publish/traces/${"0".repeat(64)}/shell`],
    ["POST", "/api/publish/missing"],
    ["POST", "/api/publish/images"],
    ["PUT", "/api/publish/raw/disk"],
    ["POST", "/api/publish/raw/disk/uploads"],
    ["PUT", "/api/publish/raw/disk/uploads/u/parts/1"],
    ["POST", "/api/publish/raw/disk/uploads/u/complete"],
    ["DELETE", "/api/publish/raw/disk/uploads/u"],
    ["GET", "/api/publish/anything"],
  ];
  const strangers: Record<string, string>[] = [
    {},
    { authorization: "Bearer " },
    { authorization: "Bearer wrong" },
    { authorization: "Bearer local-publisherx" },
    { authorization: "Basic local-publisher" },
    { authorization: "local-publisher" },
  ];
  test.each(doors)("%s %s", async (method, path) => {
    for (const headers of strangers) {
      const response = await send(method, path, method === "GET" ? undefined : "{}", headers);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      expect(await outcome(response)).toEqual([401, { code: "unauthorized" }]);
    }
    expect((await env.STORE.list()).objects).toEqual([]);
  });
});

describe("chunks", () => {
  test("must hash to their name", async () => {
    const hash = await sha256(chunk);
    const wrong = await send("PUT", `/api/publish/chunks/${"0".repeat(64)}`, chunk);
    expect(await outcome(wrong)).toEqual([
      400,
      { code: "bad-request", problem: `These bytes are named ${hash}.` },
    ]);
    const right = await send("PUT", `/api/publish/chunks/${hash}`, chunk);
    expect(await outcome(right)).toEqual([201, { sizeBytes: 100 }]);
    const again = await send("PUT", `/api/publish/chunks/${hash}`, chunk);
    expect(again.status).toBe(201);
  });

  test("are at most 256 KiB, whether or not a length is declared", async () => {
    const big = new Uint8Array(262145);
    const path = `/api/publish/chunks/${await sha256(big)}`;
    const tooLarge = [413, { code: "too-large", limitBytes: 262144 }];
    expect(await outcome(await send("PUT", path, big))).toEqual(tooLarge);
    const stream = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(65536));
      },
    });
    expect(await outcome(await send("PUT", path, stream))).toEqual(tooLarge);
    const most = new Uint8Array(262144);
    expect((await send("PUT", `/api/publish/chunks/${await sha256(most)}`, most)).status).toBe(201);
  });
});

describe("missing chunks", () => {
  test("are named, each once, in a question of any size", async () => {
    const seed = 20261121;
    const hashOf = async (n: number) => sha256(new TextEncoder().encode(`${seed}/${n}`));
    const all = await Promise.all(Array.from({ length: 1500 }, async (_, n) => hashOf(n)));
    const stored = all.filter((_, n) => n % 3 !== 0);
    await Promise.all(stored.map(async (hash) => env.STORE.put(`chunks/${hash}`, "x")));
    for (const count of [0, 1, 40, 1500]) {
      const hashes = all.slice(0, count);
      const wanted = hashes.filter((_, n) => n % 3 === 0).sort();
      const answer = await post("/api/publish/missing", { hashes: [...hashes, ...hashes.slice(0, 5)] });
      expect(await outcome(answer), `${count}`).toEqual([200, { missing: wanted }]);
    }
  });

  test("questions are bounded and checked", async () => {
    const hash = "0".repeat(64);
    const tooMany = await post("/api/publish/missing", { hashes: Array(3001).fill(hash) });
    expect(tooMany.status).toBe(400);
    const tooLong = await post("/api/publish/missing", { hashes: Array(4000).fill(hash) });
    expect(await outcome(tooLong)).toEqual([413, { code: "too-large", limitBytes: 262144 }]);
    expect((await post("/api/publish/missing", { hashes: ["x"] })).status).toBe(400);
    expect((await post("/api/publish/missing", { hashes: [], more: 1 })).status).toBe(400);
    const notJson = await send("POST", "/api/publish/missing", "{", {
      ...publisher,
      "content-type": "application/json",
    });
    expect(notJson.status).toBe(400);
    expect(await notJson.json()).toMatchObject({ code: "bad-request" });
  });
});

describe("manifests", () => {
  test("must decode", async () => {
    const bytes = new TextEncoder().encode("not a manifest, but long enough to be one");
    const response = await send("PUT", `/api/publish/manifests/${await sha256(bytes)}`, bytes);
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ code: "bad-manifest" });
    expect((await env.STORE.list()).objects).toEqual([]);
  });

  test("are read back as they were written", async () => {
    const hash = await publishFile();
    const response = await get(`/api/manifests/${hash}`);
    expect(await sha256(new Uint8Array(await response.arrayBuffer()))).toBe(hash);
  });
});

describe("images", () => {
  test("show up while they are built, and are replaced under the same id", async () => {
    const [status, building] = await outcome(await post("/api/publish/images", image));
    expect(status).toBe(200);
    expect(building).toMatchObject({ ...image, sizeBytes: 0, storedBytes: 0 });
    const file = await publishFile();
    const disk = { kind: "chunked", manifest: file, sizeBytes: 131072 } as const;
    const definition = machine(file, [disk]);
    const ready = { ...image, state: "ready", definition };
    const [, replaced] = await outcome(await post("/api/publish/images", ready));
    // The kernel and the disk are the same file here, so its chunk counts once.
    const { id } = building as { id: string };
    expect(replaced).toMatchObject({ ...ready, id, sizeBytes: 131072, storedBytes: 100 });
    expect(await outcome(await get("/api/images/tiny"))).toEqual([200, replaced]);
    expect(await outcome(await get("/api/images"))).toEqual([200, { images: [replaced] }]);
  });

  test("name nothing that is not stored", async () => {
    const file = await publishFile();
    const refused = async (definition: MachineDefinition | null) => {
      const response = await post("/api/publish/images", { ...image, state: "ready", definition });
      expect(response.status).toBe(422);
      return (await response.json<{ problem: string }>()).problem;
    };
    const absent = "f".repeat(64) as ChunkHash;
    expect(await refused(null)).toBe("A ready image needs a definition.");
    expect(await refused(machine(absent, []))).toBe(`The manifest ${absent} is not stored.`);
    expect(await refused(machine(file, [{ kind: "chunked", manifest: file, sizeBytes: 512 }]))).toBe(
      `The disk ${file} has 131072 bytes, not 512.`,
    );
    expect(await refused(machine(file, [{ kind: "raw", imageId: "none", sizeBytes: 512 }]))).toBe(
      "There is no raw disk none of this size.",
    );
    await env.STORE.delete(`chunks/${await sha256(chunk)}`);
    expect(await refused(machine(file, []))).toContain("1 of 1 chunks are not stored");
    expect(await outcome(await get("/api/images"))).toEqual([200, { images: [] }]);
  });

  test.each([
    ["slug", "Tiny"],
    ["slug", "../x"],
    ["slug", "-a"],
    ["slug", "a".repeat(65)],
    ["name", ""],
    ["name", "x".repeat(81)],
    ["description", "x".repeat(401)],
    ["state", "deleted"],
    ["definition", {}],
    ["extra", 1],
  ])("refuse a bad %s", async (key, value) => {
    const response = await post("/api/publish/images", { ...image, [key]: value });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      code: "bad-request",
      problem: expect.stringContaining(key),
    });
  });
});

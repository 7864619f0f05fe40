import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { emptySite, get, outcome, post } from "./site.ts";

emptySite();
const image = { slug: "debian", name: "Debian 12", description: "", state: "building", definition: null };

test("an unknown image is a failure, a bad slug a bad request", async () => {
  expect(await outcome(await get("/api/images/none"))).toEqual([
    404,
    { code: "not-found", what: "the image none" },
  ]);
  expect((await get("/api/images/No")).status).toBe(400);
  expect((await get("/api/images/%E0%A4%A")).status).toBe(400);
});

test("the list keeps the order of publication and answers 304 to who has it", async () => {
  for (const slug of ["zeta", "alpha"]) await post("/api/publish/images", { ...image, slug });
  const response = await get("/api/images");
  expect(response.headers.get("cache-control")).toBe("no-cache");
  const { images } = (await response.json()) as { images: { slug: string }[] };
  expect(images.map(({ slug }) => slug)).toEqual(["zeta", "alpha"]);
  const etag = response.headers.get("etag")!;
  const known = await get("/api/images", { "if-none-match": etag });
  expect([known.status, await known.text()]).toEqual([304, ""]);
  expect(known.headers.get("cross-origin-resource-policy")).toBe("same-origin");
  await post("/api/publish/images", { ...image, slug: "alpha", name: "Renamed" });
  expect((await get("/api/images", { "if-none-match": etag })).status).toBe(200);
});

test("a definition that this version cannot read hides only itself", async () => {
  for (const slug of ["old", "new"]) await post("/api/publish/images", { ...image, slug });
  await env.DB.prepare("UPDATE images SET definition = ? WHERE slug = 'old'").bind('{"version":0}').run();
  const { images } = (await (await get("/api/images")).json()) as {
    images: { slug: string; definition: unknown }[];
  };
  expect(images.map(({ slug, definition }) => [slug, definition])).toEqual([
    ["old", null],
    ["new", null],
  ]);
});

import { Hono } from "hono";
import { etag } from "hono/etag";
import { describeRoute, validator } from "hono-openapi";
import * as z from "zod/mini";
import { Slug } from "#protocol/ids.ts";
import { CatalogueEntry } from "#protocol/machine-definition.ts";
import type { App } from "./app.ts";
import { answers, refuse, refuseInvalid } from "./failures.ts";
import { findImage, listImages } from "./images-table.ts";

const Listing = z.object({ images: z.array(CatalogueEntry) });

/** The images that this site shares. Asked for again at every visit, and mostly answered 304. */
export const catalogue = new Hono<App>()
  .use(etag())
  .get(
    "/",
    describeRoute({
      operationId: "listImages",
      responses: answers({ 200: ["Every image, the first published first", Listing] }),
    }),
    async (c) => {
      c.header("cache-control", "no-cache");
      return c.json({ images: await listImages(c.env.DB) });
    },
  )
  .get(
    "/:slug",
    describeRoute({
      operationId: "getImage",
      responses: answers({ 200: ["The image", CatalogueEntry] }, "not-found", "bad-request"),
    }),
    validator("param", z.object({ slug: Slug }), refuseInvalid),
    async (c) => {
      const { slug } = c.req.valid("param");
      const image = await findImage(c.env.DB, slug);
      if (!image) return refuse(c, { code: "not-found", what: `the image ${slug}` });
      c.header("cache-control", "no-cache");
      return c.json(image, 200);
    },
  );

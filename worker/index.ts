import { Hono } from "hono";
import { buildInfo } from "./build-info.ts";

export interface App {
  Bindings: Env;
}

const app = new Hono<App>()
  .get("/healthz", (c) => c.json({ ok: true }))
  .get("/version", (c) => c.json(buildInfo));

/** What the page knows of the Worker: `hc<Api>("/")`, types only. */
export type Api = typeof app;
export default app;

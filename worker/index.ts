import { Hono } from "hono";
import { describeRoute, openAPIRouteHandler } from "hono-openapi";
import english from "zod/v4/locales/en.js";
import * as z from "zod/mini";
import type { App } from "./app.ts";
import { type BuildInfo, buildInfo } from "./build-info.ts";
import { catalogue } from "./catalogue.ts";
import { dns } from "./dns.ts";
import { answers, onError, refuse } from "./failures.ts";
import { gatewayAnswers, refuseGateway } from "./gateway-failures.ts";
import { gatewaySettings } from "./gateway-settings.ts";
import { count, metricsText, observe } from "./metrics.ts";
import { lans } from "./lans.ts";
import { operator } from "./operator.ts";
import { ports } from "./ports.ts";
import { publish } from "./publish.ts";
import { rawImages } from "./raw-images.ts";
import { securityHeaders } from "./security-headers.ts";
import { sessions } from "./session.ts";
import { chunks, manifests, traces } from "./stored-objects.ts";
import { gateway, streamUrls } from "./stream-url.ts";

// zod/mini knows no words of its own for what it refuses.
z.config(english());

const Health = z.object({ ok: z.literal(true) });
const Build: z.ZodMiniType<BuildInfo> = z.object({
  version: z.string(),
  gitSha: z.string(),
  builtAt: z.string(),
});

/** Labels of metrics come from here, so that no visitor can make more of them. */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]);

const app = new Hono<App>()
  // Static files get the same list from `_headers`.
  .use(async (c, next) => {
    const startedMs = Date.now();
    await next();
    count(
      "http_requests_total",
      `method="${METHODS.has(c.req.method) ? c.req.method : "other"}",status="${c.res.status}"`,
    );
    observe("http_request_duration_seconds", (Date.now() - startedMs) / 1000);
    for (const [name, value] of securityHeaders(c.env.S3_ENDPOINT, c.env.VIRGA_CONNECT_SRC))
      c.res.headers.set(name, value);
  })
  .get(
    "/healthz",
    describeRoute({ operationId: "getHealth", responses: answers({ 200: ["It answers", Health] }) }),
    (c) => c.json({ ok: true as const }, 200, { "cache-control": "no-store" }),
  )
  .get(
    "/version",
    describeRoute({ operationId: "getVersion", responses: answers({ 200: ["This build", Build] }) }),
    (c) => c.json(buildInfo, 200, { "cache-control": "no-cache" }),
  )
  .get(
    "/readyz",
    describeRoute({
      operationId: "getReadiness",
      responses: gatewayAnswers(
        { 200: { description: "It takes new work", type: "application/json", schema: Health } },
        "unavailable",
      ),
    }),
    (c) =>
      gatewaySettings(c.env).isDraining
        ? refuseGateway(c, "unavailable", "draining")
        : c.json({ ok: true as const }, 200, { "cache-control": "no-store" }),
  )
  .get(
    "/metrics",
    describeRoute({
      operationId: "getMetrics",
      responses: gatewayAnswers({
        200: { description: "Counters of this isolate, and of all objects", type: "text/plain" },
      }),
    }),
    async (c) =>
      c.text(await metricsText(c.env), 200, {
        "cache-control": "no-store",
        "content-type": "text/plain; version=0.0.4",
      }),
  )
  .route("/", sessions)
  .route("/", dns)
  .route("/api/images", catalogue)
  .route("/api/images", streamUrls)
  .route("/v1", gateway)
  .route("/api/chunks", chunks)
  .route("/api/manifests", manifests)
  .route("/api/traces", traces)
  .route("/api/raw", rawImages)
  .route("/api/ports", ports)
  .route("/api/lans", lans)
  .route("/api/operator", operator)
  .route("/api/publish", publish);

app.get(
  "/api/openapi.json",
  openAPIRouteHandler(app, {
    excludeStaticFile: false,
    exclude: ["/api/openapi.json"],
    documentation: {
      openapi: "3.1.0",
      info: { title: "Virga", version: buildInfo.version },
      components: {
        securitySchemes: {
          publisher: { type: "http", scheme: "bearer" },
          operator: { type: "http", scheme: "bearer" },
        },
      },
    },
  }),
);
app.notFound((c) => refuse(c, { code: "not-found", what: c.req.path }));
app.onError(onError);

/** What the page knows of the Worker: `hc<Api>("/")`, types only. */
export type Api = typeof app;
export default app;

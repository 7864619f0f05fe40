import app from "./index.ts";

/** The entry that wrangler names. Objects will be exported from here beside it. */
export default { fetch: app.fetch } satisfies ExportedHandler<Env>;

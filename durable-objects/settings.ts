import * as z from "zod/mini";

const wholeNumber = (byDefault: number) =>
  z._default(
    z.pipe(
      z.string().check(z.regex(/^\d{1,12}$/)),
      z.transform((text) => Number(text)),
    ),
    byDefault,
  );
const list = z._default(
  z.pipe(
    z.string(),
    z.transform((text) => text.split(/[\s,]+/).filter((item) => item !== "")),
  ),
  [],
);

/** What an operator may say about the tunnels, in the variables of the Worker; infra/docs/networking.md explains each. */
const Settings = z.object({
  /** Upstreams of DNS over HTTPS, asked in turn. */
  VIRGA_DOH_UPSTREAMS: list,
  /** `wss://…/tcp-mux` or `wss://…/wisp/`: what connect() may not reach goes there. */
  VIRGA_RELAY_URL: z._default(z.string(), ""),
  VIRGA_RELAY_TOKEN: z._default(z.string(), ""),
  /** "rest": what connect() cannot reach. "all": everything. */
  VIRGA_RELAY_FOR: z._default(z.enum(["rest", "all"]), "rest"),
  /** Base URL of a relay for datagrams, and what it wants to see; without it the relay above is asked. */
  VIRGA_UDP_RELAY_URL: z._default(z.string(), ""),
  VIRGA_UDP_RELAY_AUTH: z._default(z.enum(["none", "api_key", "jwt"]), "jwt"),
  VIRGA_UDP_RELAY_KEY: z._default(z.string(), ""),
  VIRGA_EGRESS_SHARDS: wholeNumber(8),
  VIRGA_EGRESS_NEAR_FLOWS: wholeNumber(1024),
  /** Bytes per second to clients of Wisp and `/tcp` of one session, after the first 32 MiB; 0: no bound. */
  VIRGA_EGRESS_UNANSWERED: wholeNumber(8 * 2 ** 20),
  /** One line in the Worker's log per connection; `short`: with a part of the visitor's address only. */
  VIRGA_AUDIT: z._default(z.enum(["on", "short", "off"]), "on"),
  /** aero-l2-tunnel-v1: milliseconds, bytes, frames; 0 is off. */
  VIRGA_L2_PING_MS: wholeNumber(0),
  VIRGA_L2_IDLE_MS: wholeNumber(0),
  VIRGA_L2_QUOTA_BYTES: wholeNumber(0),
  VIRGA_L2_FRAMES_PER_SECOND: wholeNumber(0),
});
export type Settings = z.infer<typeof Settings>;

/** An empty variable counts as absent. A value that makes no sense throws: it is better seen at once. */
export const readSettings = (env: object): Settings =>
  Settings.parse(
    Object.fromEntries(Object.entries(env).filter(([, value]) => typeof value === "string" && value !== "")),
  );

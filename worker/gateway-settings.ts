import * as z from "zod/mini";
import type { Expected } from "./relay-token.ts";
import { normalHost, normalOrigin } from "./origins.ts";

/** What an operator may say about the gateway's HTTP side; infra/docs/gateway.md explains each variable. */
const text = z._default(z.string().check(z.maxLength(8192)), "");
const list = z.pipe(
  text,
  z.transform((value) => value.split(/[\s,]+/).filter((part) => part !== "")),
);
const flag = z.pipe(
  text,
  z.transform((value) => value === "1" || value === "true" || value === "on"),
);

export const authModes = [
  "none",
  "session",
  "token",
  "jwt",
  "cookie_or_jwt",
  "session_or_token",
  "session_and_token",
] as const;
const aliases: Readonly<Record<string, AuthMode>> = {
  cookie: "session",
  api_key: "token",
  cookie_or_api_key: "session_or_token",
  cookie_and_api_key: "session_and_token",
};
export type AuthMode = (typeof authModes)[number];
const isAuthMode = (value: string): value is AuthMode => (authModes as readonly string[]).includes(value);

const Settings = z.object({
  VIRGA_SESSION_SECRET: text,
  VIRGA_DOH_UPSTREAMS: list,
  VIRGA_ORIGINS: list,
  VIRGA_OPEN_ORIGINS: flag,
  VIRGA_HOSTS: list,
  VIRGA_TRUST_PROXY: flag,
  VIRGA_PUBLIC_URL: text,
  VIRGA_TUNNEL_AUTH: text,
  VIRGA_TUNNEL_TOKEN: text,
  VIRGA_TUNNEL_JWT_SECRET: text,
  VIRGA_TUNNEL_JWT_AUDIENCE: text,
  VIRGA_TUNNEL_JWT_ISSUER: text,
  VIRGA_UDP_RELAY_URL: text,
  VIRGA_UDP_RELAY_AUTH: z._default(z.enum(["none", "api_key", "jwt"]), "jwt"),
  VIRGA_UDP_RELAY_KEY: text,
  VIRGA_DRAINING: flag,
});
/** Names of the environment that this file reads. */
export const gatewayNames: readonly string[] = Object.keys(Settings.shape);

export interface GatewaySettings {
  readonly sessionSecret: string;
  readonly dohUpstreams: readonly string[];
  readonly origins: { readonly allowed: readonly string[]; readonly isOpen: boolean };
  readonly hosts: readonly string[];
  readonly trustsProxy: boolean;
  /** Before every path of the discovery document. */
  readonly basePath: string;
  readonly auth: AuthMode;
  readonly tunnelToken: string;
  readonly tunnelJwt: Pick<Expected, "audience" | "issuer"> & { readonly secret: string };
  readonly udpRelay:
    | { readonly url: string; readonly authMode: "none" | "api_key" | "jwt"; readonly key: string }
    | undefined;
  readonly isDraining: boolean;
}

/** A short secret is a configuration error, not a weak lock. */
const MIN_SECRET_CHARS = 16;
const known = new WeakMap<object, GatewaySettings>();

/** Throws on what makes no sense: an operator's mistake is seen at once and opens no door. */
export function gatewaySettings(env: object): GatewaySettings {
  const before = known.get(env);
  if (before) return before;
  const strings = Object.entries(env).filter(([, value]) => typeof value === "string" && value !== "");
  const read = settingsOf(Settings.parse(Object.fromEntries(strings)));
  known.set(env, read);
  return read;
}

function settingsOf(read: z.infer<typeof Settings>): GatewaySettings {
  if (read.VIRGA_SESSION_SECRET.length < MIN_SECRET_CHARS)
    throw new Error(`VIRGA_SESSION_SECRET is missing or shorter than ${MIN_SECRET_CHARS} characters`);
  const auth = read.VIRGA_TUNNEL_AUTH === "" ? "session_or_token" : read.VIRGA_TUNNEL_AUTH;
  const mode = aliases[auth] ?? auth;
  if (!isAuthMode(mode)) throw new Error(`VIRGA_TUNNEL_AUTH is none of ${authModes.join(", ")}`);
  return {
    sessionSecret: read.VIRGA_SESSION_SECRET,
    dohUpstreams: read.VIRGA_DOH_UPSTREAMS,
    origins: { allowed: read.VIRGA_ORIGINS.map(listedOrigin), isOpen: read.VIRGA_OPEN_ORIGINS },
    hosts: read.VIRGA_HOSTS.map(listedHost),
    trustsProxy: read.VIRGA_TRUST_PROXY,
    basePath: basePath(read.VIRGA_PUBLIC_URL),
    auth: mode,
    tunnelToken: read.VIRGA_TUNNEL_TOKEN,
    tunnelJwt: {
      secret: read.VIRGA_TUNNEL_JWT_SECRET,
      ...(read.VIRGA_TUNNEL_JWT_AUDIENCE !== "" && { audience: read.VIRGA_TUNNEL_JWT_AUDIENCE }),
      ...(read.VIRGA_TUNNEL_JWT_ISSUER !== "" && { issuer: read.VIRGA_TUNNEL_JWT_ISSUER }),
    },
    udpRelay:
      read.VIRGA_UDP_RELAY_URL === ""
        ? undefined
        : {
            url: read.VIRGA_UDP_RELAY_URL.replace(/\/$/, ""),
            authMode: read.VIRGA_UDP_RELAY_AUTH,
            key: read.VIRGA_UDP_RELAY_KEY,
          },
    isDraining: read.VIRGA_DRAINING,
  };
}

function listedOrigin(value: string): string {
  const origin = value === "*" || value === "null" ? value : normalOrigin(value);
  if (origin === null) throw new Error(`VIRGA_ORIGINS: ${value} is not an origin`);
  return origin;
}

function listedHost(value: string): string {
  const host = normalHost(value, "https");
  if (host === null) throw new Error(`VIRGA_HOSTS: ${value} is not a host`);
  return host;
}

const basePath = (url: string): string => (URL.canParse(url) ? new URL(url).pathname.replace(/\/$/, "") : "");

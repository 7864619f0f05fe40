/** Which pages may open tunnels: Origin and Host, compared after one normalisation. */

const MAX_CHARS = 512;

/**
 * `scheme://host[:port]` in lower case, without the default port and with addresses in their one form; null: not an
 * origin. Anything with user-info, path, query, fragment, or a character that no origin has is refused, not repaired.
 */
export function normalOrigin(header: string): string | null {
  const text = header.trim();
  if (text.length > MAX_CHARS || /[^\x21-\x7e]|[\\,%@?#]/.test(text)) return null;
  const parts = /^(https?):\/\/(\[[0-9a-f:.]+\]|[^/:[\]]+)(?::(\d{1,5}))?\/?$/i.exec(text);
  if (!parts) return null;
  const [, , , port] = parts;
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return null;
  return URL.canParse(text) ? new URL(text).origin : null;
}

/** Host of a request without the default port of its scheme; null: not a host. */
export function normalHost(host: string, scheme: "http" | "https"): string | null {
  const origin = normalOrigin(`${scheme}://${host}`);
  return origin === null || host.endsWith("/") ? null : origin.slice(`${scheme}://`.length);
}

export interface OriginRules {
  /** Normalised origins, `*` for any valid one, `null` for the literal. Empty: the request's own host only. */
  readonly allowed: readonly string[];
  /** No check at all. */
  readonly isOpen: boolean;
}
export type OriginVerdict = "ok" | "missing" | "denied";

/** `own`: the origin that the request was made to. A header with several values is none that is allowed. */
export function judgeOrigin(header: string | null, own: string, rules: OriginRules): OriginVerdict {
  if (rules.isOpen) return "ok";
  if (header === null || header.trim() === "") return "missing";
  if (header.trim() === "null") return rules.allowed.includes("null") ? "ok" : "denied";
  const origin = normalOrigin(header);
  if (origin === null) return "denied";
  if (hostOf(origin) === hostOf(own)) return "ok";
  return rules.allowed.includes("*") || rules.allowed.includes(origin) ? "ok" : "denied";
}

const hostOf = (origin: string): string => origin.slice(origin.indexOf("://") + 3);

export type HostVerdict = "ok" | "missing" | "invalid" | "denied";

/** `allowed` empty: every host that is one. */
export function judgeHost(
  header: string | null,
  scheme: "http" | "https",
  allowed: readonly string[],
): HostVerdict {
  if (header === null || header === "") return "missing";
  const host = normalHost(header, scheme);
  if (host === null) return "invalid";
  return allowed.length === 0 || allowed.includes(host) ? "ok" : "denied";
}

/** The origin and the scheme that the visitor sees; a proxy's word counts only where it is trusted. */
export function ownOrigin(request: Request, trustsProxy: boolean): URL {
  const url = new URL(request.url);
  if (!trustsProxy) return url;
  const forwarded = request.headers.get("x-forwarded-host");
  const proto = request.headers.get("x-forwarded-proto");
  const scheme =
    proto === "http" || proto === "https" ? proto : (url.protocol.slice(0, -1) as "http" | "https");
  const host = normalHost(forwarded ?? url.host, scheme);
  return host === null ? url : new URL(`${scheme}://${host}`);
}

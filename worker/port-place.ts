import { PortId } from "#protocol/published-port.ts";

/**
 * Where published ports answer: each on a host of its own (`*.ports.example` by VIRGA_PORTS_HOST, `*.localhost` on this
 * machine), so that a guest's pages share nothing with the app; or, without a wildcard, below `/p/<id>/` of the app's own
 * origin, sandboxed and without cookies.
 */
export interface PortPlace {
  readonly id: string;
  /** The part of the path that is ours: empty, or `/p/<id>`. */
  readonly prefix: string;
}

const LOCAL = ".localhost";

/** `.ports.example`; undefined: there is no wildcard. On a loopback host there is one unless `/p` says otherwise. */
function suffixOf(url: URL, portsHost: string): string | undefined {
  if (portsHost.startsWith("*.")) return portsHost.slice(1).toLowerCase();
  const isLocal = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname) || url.hostname.endsWith(LOCAL);
  return isLocal && portsHost === "" ? LOCAL : undefined;
}

/** Undefined: the request is for the app. Null: it is for a port that cannot be one. */
export function placeOf(url: URL, portsHost: string): PortPlace | null | undefined {
  const suffix = suffixOf(url, portsHost);
  if (suffix && url.hostname.endsWith(suffix) && url.hostname.length > suffix.length) {
    const id = url.hostname.slice(0, -suffix.length);
    return PortId.safeParse(id).success ? { id, prefix: "" } : null;
  }
  const path = /^\/p\/([^/]*)(\/|$)/.exec(url.pathname);
  if (!path) return undefined;
  const id = path[1]!;
  return PortId.safeParse(id).success && suffix === undefined ? { id, prefix: `/p/${id}` } : null;
}

/** Where a port answers, as the visitor of `appUrl` writes it. */
export function portUrl(appUrl: URL, portsHost: string, id: string): URL {
  const suffix = suffixOf(appUrl, portsHost);
  const url = new URL(suffix === undefined ? `/p/${id}/` : "/", appUrl);
  if (suffix !== undefined) url.hostname = id + suffix;
  return url;
}

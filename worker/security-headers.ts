/**
 * What every response carries, static files included: the Worker's middleware, `vite dev` and the generated `_headers`
 * file all read this one list. Isolation (COOP, COEP) is what gives the page SharedArrayBuffer.
 */
export function securityHeaders(
  s3Endpoint: string,
  connectSources: string = "",
): ReadonlyMap<string, string> {
  return new Map([
    ["Cross-Origin-Opener-Policy", "same-origin"],
    ["Cross-Origin-Embedder-Policy", "require-corp"],
    ["Cross-Origin-Resource-Policy", "same-origin"],
    ["Origin-Agent-Cluster", "?1"],
    ["Content-Security-Policy", contentSecurityPolicy(s3Endpoint, connectSources)],
    ["X-Content-Type-Options", "nosniff"],
    ["Referrer-Policy", "no-referrer"],
    ["Permissions-Policy", permissionsPolicy],
  ]);
}

/** A scheme, or an origin with `*` for a host's first label or a port (CSP3 §2.3.1). Anything else could open the header. */
const SOURCE = /^(https?|wss?):(\/\/(\*\.)?[a-z0-9.-]+(:(\d{1,5}|\*))?)?$/i;

/**
 * 'unsafe-inline' styles are xterm.js's; 'wasm-unsafe-eval' compiles the CPU core. `s3Endpoint` may be empty, and so may
 * `connectSources`: the operator's list of relays and resolvers elsewhere that a stack in the page uses.
 */
function contentSecurityPolicy(s3Endpoint: string, connectSources: string): string {
  const s3Origin = URL.canParse(s3Endpoint) ? ` ${new URL(s3Endpoint).origin}` : "";
  const sources = connectSources.split(/\s+/).filter((source) => SOURCE.test(source));
  const connect = ["'self'", ...sources].join(" ");
  return [
    "default-src 'self'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    `connect-src ${connect}${s3Origin}`,
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'self'",
  ].join("; ");
}

const permissionsPolicy = [
  "camera",
  "display-capture",
  "geolocation",
  "hid",
  "microphone",
  "midi",
  "payment",
  "serial",
  "usb",
]
  .map((feature) => `${feature}=()`)
  .join(", ");

/** The `_headers` file of the static files: later rules win, `!` takes back what an earlier rule set. */
export function headersFile(s3Endpoint: string, connectSources: string): string {
  const everywhere = [...securityHeaders(s3Endpoint, connectSources)].map(
    ([name, value]) => `  ${name}: ${value}`,
  );
  return [
    "/*",
    ...everywhere,
    // Pages, the service worker and the configuration are asked for again, so that a deploy is seen at once.
    "  Cache-Control: no-cache",
    // Names that contain the hash of their content.
    "/assets/*",
    "  ! Cache-Control",
    "  Cache-Control: public, max-age=31536000, immutable",
    "",
  ].join("\n");
}

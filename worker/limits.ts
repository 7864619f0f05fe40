import { CHUNK_BYTES, MAX_MANIFEST_BYTES } from "#protocol/manifest.ts";
import { MAX_TRACE_BYTES } from "#protocol/store-api.ts";

const MiB = 2 ** 20;

/** Every bound on what a stranger or a publisher may send or ask for, checked before anything is allocated or stored. */
export const limits = {
  /** Request bodies. */
  jsonBytes: 256 * 1024,
  /** The list that completes an upload: all parts, with their ETags. */
  partListBytes: 4 * MiB,
  partEtagChars: 350,
  chunkBytes: CHUNK_BYTES,
  manifestBytes: MAX_MANIFEST_BYTES,
  traceBytes: MAX_TRACE_BYTES,
  /** The platform takes 100 MB per request at most; the rest of a raw image goes up in parts. */
  rawBytes: 95_000_000,
  rawPartBytes: 95_000_000,
  /** S3's own: at most 10 000 parts, none but the last below 5 MiB. */
  rawParts: 10_000,
  /** Hashes in one question about missing chunks, so that its body stays under `jsonBytes`. */
  hashesPerQuestion: 3000,
  /** Up to here each hash is asked for by itself; above, the store's sorted listing is walked. */
  headsPerQuestion: 48,
  /** Rows of one catalogue answer. */
  catalogueRows: 500,
  /** One Range answer of a raw image (the largest chunk that a peer may ask for). */
  rangeBytes: 64 * MiB,
  /** How long a signed URL is good for. The page asks for the next one before that. */
  signedUrlSeconds: 600,
  /** What a reader keeps of things that may change: traces. */
  traceSeconds: 60,
  /** Signed URLs per address and minute: `SIGNING_RATE` in wrangler.toml. */
  signedUrlsPerMinute: 300,
  /** Body of POST /session. */
  sessionBytes: 16 * 1024,
  /** A DNS question. */
  dnsQueryBytes: 4096,
  /** Questions per address and 10 s (`DNS_RATE`), relay tokens per session and minute (`RELAY_RATE`): wrangler.toml. */
  dnsQueriesPerTenSeconds: 100,
  relayTokensPerMinute: 30,
  /** What POST /session promises; a profile may allow fewer or more. */
  tcpConnections: 64,
  /** Published ports of one session. */
  portsPerSession: 16,
} as const;

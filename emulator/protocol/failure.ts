/**
 * Every failure that may cross a boundary (HTTP, WebSocket, postMessage, object RPC). Data, not classes: it survives
 * structured clone. `client/failure-text.ts` says each one in words.
 */
export type Failure =
  /** The world: a chunk, manifest or range that cannot be had or trusted. */
  | { readonly code: "not-found"; readonly what: string }
  | { readonly code: "offline"; readonly what: string }
  | { readonly code: "corrupt"; readonly what: string }
  | { readonly code: "image-changed"; readonly what: string }
  | { readonly code: "bad-manifest"; readonly problem: string }
  /** Storage on this device. */
  | { readonly code: "storage-full"; readonly neededBytes: number }
  | { readonly code: "disk-busy"; readonly disk: string }
  | { readonly code: "storage-unavailable"; readonly problem: string }
  /** What a caller asked for. */
  | { readonly code: "bad-request"; readonly problem: string }
  | { readonly code: "bad-image"; readonly problem: string }
  | { readonly code: "too-large"; readonly limitBytes: number }
  | { readonly code: "too-many-requests"; readonly retryAfterSeconds: number }
  | { readonly code: "unauthorized" }
  | { readonly code: "expired" }
  | { readonly code: "out-of-range"; readonly sizeBytes: number }
  | { readonly code: "unsupported"; readonly feature: string }
  /** The network of a machine, which goes on without: a sentence of the gateway's. */
  | { readonly code: "tunnel-refused"; readonly sentence: string }
  /** Our bug, or the guest's. */
  | { readonly code: "guest-crashed"; readonly problem: string }
  | { readonly code: "internal"; readonly incident: string };

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: Failure };
export const ok = <T>(value: T): Outcome<T> => ({ ok: true, value });
export const fail = (failure: Failure): Outcome<never> => ({ ok: false, failure });

/** The HTTP status of each failure. */
export const httpStatus = {
  "not-found": 404,
  offline: 503,
  corrupt: 502,
  "image-changed": 412,
  "bad-manifest": 422,
  "storage-full": 507,
  "disk-busy": 409,
  "storage-unavailable": 503,
  "bad-request": 400,
  "bad-image": 422,
  "too-large": 413,
  "too-many-requests": 429,
  unauthorized: 401,
  expired: 403,
  "out-of-range": 416,
  unsupported: 501,
  "tunnel-refused": 403,
  "guest-crashed": 500,
  internal: 500,
} as const satisfies Record<Failure["code"], number>;

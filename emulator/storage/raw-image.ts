import { type Failure, type Outcome, fail, ok } from "../protocol/failure.ts";
import type { ChunkHash } from "../protocol/ids.ts";
import { CHUNK_BYTES, MAX_DISK_BYTES } from "../protocol/manifest.ts";
import { StreamUrl, streamUrlPath } from "../protocol/store-api.ts";
import { type BlockSource, type Sources, blockLength } from "./block-source.ts";
import { type Urgency, hashOf, nameOf } from "./chunk-store.ts";
import type { Attempt } from "./fetcher.ts";
import { type Ask, type Network, ask, statusFailure } from "./http.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** One version of a raw image, pinned by its strong ETag. */
interface Version {
  readonly etag: string;
  readonly sizeBytes: number;
}

/** A URL is asked for anew this long before it expires. */
const EXPIRY_MARGIN_MS = 30_000;
const MAX_ANSWER_BYTES = 65536;
const utf8 = new TextDecoder();

/** The signed URL of a raw image, asked for again before it expires and when the store refuses it. */
export class SignedUrl {
  readonly #network: Network;
  readonly #imageId: string;
  #current: { url: string; version: Version; refreshAtMs: number } | undefined;
  #asking: Promise<Outcome<{ url: string; version: Version }>> | undefined;

  constructor(network: Network, imageId: string) {
    this.#network = network;
    this.#imageId = imageId;
  }

  async get(): Promise<Outcome<{ url: string; version: Version }>> {
    const current = this.#current;
    if (current && this.#network.clock.nowMs() < current.refreshAtMs) return ok(current);
    this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  /** The store refused this URL: it expired early, or the clocks differ. */
  refuse(url: string): void {
    if (this.#current?.url === url) this.#current = undefined;
  }

  async #ask(): Promise<Outcome<{ url: string; version: Version }>> {
    const what = `the raw image ${this.#imageId}`;
    const answer = await ask(this.#network, streamUrlPath(this.#imageId), {
      method: "POST",
      what,
      maxBytes: MAX_ANSWER_BYTES,
      accept: ({ status }) => (status === 200 ? null : statusFailure(status, what)),
    });
    if (!answer.ok) return answer;
    const parsed = StreamUrl.safeParse(parseJson(answer.value.bytes));
    if (!parsed.success) return fail({ code: "corrupt", what });
    const { url, auth, size, etag } = parsed.data;
    const nowMs = this.#network.clock.nowMs();
    const refreshAtMs = Date.parse(auth.expiresAt) - EXPIRY_MARGIN_MS;
    // A URL that seems to have expired when it comes says that this clock is wrong: the store's answer decides then.
    const usable = refreshAtMs > nowMs ? refreshAtMs : Infinity;
    this.#current = { url, version: { etag, sizeBytes: size }, refreshAtMs: usable };
    return ok(this.#current);
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch {
    return undefined;
  }
}

/**
 * A raw file read in aligned windows by signed Range URLs (RFC 9110 §14). Its bytes have no hash to be checked against:
 * the version is pinned by If-Range, and what a window had when it first came is recorded with it in the cache.
 */
export class RawImage implements BlockSource {
  readonly id: ChunkHash;
  readonly sizeBytes: number;
  readonly blockBytes = CHUNK_BYTES;
  readonly blockCount: number;
  readonly storedBytes: number;
  readonly #etag: string;
  readonly #imageId: string;
  readonly #network: Network;
  readonly #url: SignedUrl;
  readonly #sources: Sources;

  private constructor(
    id: ChunkHash,
    imageId: string,
    version: Version,
    url: SignedUrl,
    network: Network,
    sources: Sources,
  ) {
    this.id = id;
    this.sizeBytes = this.storedBytes = version.sizeBytes;
    this.blockCount = Math.ceil(version.sizeBytes / CHUNK_BYTES);
    this.#etag = version.etag;
    this.#imageId = imageId;
    this.#url = url;
    this.#network = network;
    this.#sources = sources;
  }

  /** Finds out which version there is; without a network, the version that was read last. */
  static async open(imageId: string, network: Network, sources: Sources): Promise<Outcome<RawImage>> {
    const url = new SignedUrl(network, imageId);
    const name = await nameOf(`version of raw image ${imageId}`);
    const kept = await sources.cache.getNamed(name);
    const known = kept.ok ? versionOf(parseJson(kept.value)) : null;
    const run = async (attempt: Attempt): Promise<Outcome<Bytes>> => {
      sources.ledger.request();
      const found = await discover(url, network, imageId, attempt);
      if (!found.ok && found.failure.code === "offline" && known) return ok(encode(known));
      return found.ok ? ok(encode(found.value)) : found;
    };
    const bytes = await sources.fetcher.want(
      { name: `raw image ${imageId}`, run, impatient: true },
      "demand",
    );
    if (!bytes.ok) return bytes;
    const version = versionOf(parseJson(bytes.value));
    if (!version) return fail({ code: "bad-image", problem: "The raw image's size is out of bounds." });
    void sources.cache.keep(name, await hashOf(bytes.value), bytes.value);
    const id = await nameOf(`raw image ${imageId} ${version.etag} ${version.sizeBytes}`);
    return ok(new RawImage(id, imageId, version, url, network, sources));
  }

  storedLength(index: number): number {
    return blockLength(this, index);
  }

  memoryKey(index: number): string {
    return this.#name(index);
  }

  isHere(index: number): boolean {
    return this.#sources.cache.has(this.#name(index));
  }

  async load(index: number, urgency: Urgency) {
    const kept = await this.#sources.cache.getNamed(this.#name(index));
    if (kept.ok && kept.value.length === blockLength(this, index)) {
      this.#sources.ledger.verified(kept.value.length);
      return ok({ bytes: kept.value, from: "cache" as const });
    }
    const fetched = await this.#want(index, urgency);
    return fetched.ok ? ok({ bytes: fetched.value, from: "network" as const }) : fetched;
  }

  async prefetch(index: number): Promise<Outcome<null>> {
    const fetched = await this.#want(index, "ahead");
    return fetched.ok ? ok(null) : fetched;
  }

  /** A window's name in the cache: this version and the window's number. */
  #name(index: number): ChunkHash {
    return (this.id.slice(0, 48) + index.toString(16).padStart(16, "0")) as ChunkHash;
  }

  #want(index: number, urgency: Urgency): Promise<Outcome<Bytes>> {
    const name = this.#name(index);
    return this.#sources.fetcher.want({ name, run: (attempt) => this.#fetch(index, name, attempt) }, urgency);
  }

  async #fetch(index: number, name: ChunkHash, attempt: Attempt): Promise<Outcome<Bytes>> {
    const { cache, ledger } = this.#sources;
    let answer = await this.#ask(index, attempt);
    // A URL that was refused is asked for anew, once.
    if (!answer.ok && isRefused(answer.failure)) answer = await this.#ask(index, attempt);
    if (!answer.ok) return answer;
    ledger.fetched(answer.value.length, attempt.urgency);
    const keeping = cache.keep(name, await hashOf(answer.value), answer.value);
    if (attempt.urgency === "ahead") await keeping;
    return answer;
  }

  async #ask(index: number, attempt: Attempt): Promise<Outcome<Bytes>> {
    const signed = await this.#url.get();
    if (!signed.ok) return signed;
    this.#sources.ledger.request();
    const first = index * this.blockBytes;
    const last = first + blockLength(this, index) - 1;
    const version = { etag: this.#etag, sizeBytes: this.sizeBytes };
    const answer = await ask(this.#network, signed.value.url, {
      ...attempt,
      ...rangeOf(first, last, version, `the raw image ${this.#imageId}`),
    });
    if (!answer.ok && isRefused(answer.failure)) this.#url.refuse(signed.value.url);
    return answer.ok ? ok(answer.value.bytes) : answer;
  }
}

const isRefused = ({ code }: Failure): boolean => code === "unauthorized" || code === "expired";

const encode = (version: Version): Bytes => new TextEncoder().encode(JSON.stringify(version));

function versionOf(value: unknown): Version | null {
  const { etag, sizeBytes } = (value ?? {}) as Partial<Record<keyof Version, unknown>>;
  if (typeof etag !== "string" || typeof sizeBytes !== "number") return null;
  return Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 && sizeBytes <= MAX_DISK_BYTES
    ? { etag, sizeBytes }
    : null;
}

/**
 * Size and ETag, from `bytes=0-0`: unlike HEAD it is what a URL presigned for GET allows, and it shows at once whether
 * the store answers ranges at all.
 */
async function discover(
  url: SignedUrl,
  network: Network,
  imageId: string,
  attempt: Attempt,
): Promise<Outcome<Version>> {
  const what = `the raw image ${imageId}`;
  for (let tries = 1; ; tries++) {
    const signed = await url.get();
    if (!signed.ok) return signed;
    const { version } = signed.value;
    if (!/^"[^"]*"$/.test(version.etag))
      return fail({ code: "unsupported", feature: "a raw image without a strong ETag" });
    if (version.sizeBytes === 0) return fail({ code: "bad-image", problem: "The raw image is empty." });
    const answer = await ask(network, signed.value.url, { ...attempt, ...rangeOf(0, 0, version, what) });
    if (answer.ok) return ok(version);
    if (!isRefused(answer.failure) || tries > 1) return answer;
    url.refuse(signed.value.url);
  }
}

/**
 * A request for exactly these bytes of exactly this version. A 200 is the whole of another version (If-Range) or the
 * answer of a server that knows no ranges: either way its gigabytes are not taken.
 */
function rangeOf(
  first: number,
  last: number,
  version: Version,
  what: string,
): Pick<Ask, "headers" | "accept" | "exactBytes" | "maxBytes" | "what"> {
  const length = last - first + 1;
  const accept = ({ status, headers }: Response): Failure | null => {
    if (status === 200 || status === 416) return { code: "image-changed", what };
    if (status !== 206) return statusFailure(status, what);
    const etag = headers.get("etag");
    if (etag !== null && etag !== version.etag) return { code: "image-changed", what };
    const encoding = headers.get("content-encoding") ?? "identity";
    if (encoding !== "identity") return { code: "unsupported", feature: "ranges of an encoded image" };
    const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get("content-range") ?? "");
    if (!range) return { code: "corrupt", what };
    if (Number(range[3]) !== version.sizeBytes) return { code: "image-changed", what };
    const isAsked = Number(range[1]) === first && Number(range[2]) === last;
    const isWhole = Number(headers.get("content-length") ?? length) === length;
    return isAsked && isWhole ? null : { code: "corrupt", what };
  };
  const headers = { range: `bytes=${first}-${last}`, "if-range": version.etag };
  return { headers, accept, exactBytes: length, maxBytes: length, what };
}

import type { UdpService } from "./service.ts";
import type { Endpoint } from "./world.ts";

/**
 * The LAN's time server: RFC 5905 answers of a primary server with the host's clock, which serve SNTP (RFC 4330) clients
 * too. Not modelled: authentication, control and private modes (6, 7), which only serve to amplify.
 */
const PACKET_BYTES = 48;
/** Seconds from 1900 to 1970. */
const ERA_SECONDS = 2_208_988_800;
const MODE = { symmetricActive: 1, symmetricPassive: 2, client: 3, server: 4 } as const;
/** log2 of the clock's resolution in seconds: about a millisecond. */
const PRECISION = -10;
/** 1 ms as a 16.16 fraction of a second. */
const ROOT_DISPERSION = 66;
/** "LOCL", an uncalibrated local clock (RFC 4330 §4). */
const REFERENCE = 0x4c4f434c;

export class Ntp implements UdpService {
  readonly port = 123;
  readonly #epochMs: number;

  /** `epochMs`: milliseconds since 1970 at `nowMs` = 0. */
  constructor(epochMs: number) {
    this.#epochMs = epochMs;
  }

  onDatagram(
    _from: Endpoint,
    _to: Endpoint,
    payload: Uint8Array,
    nowMs: number,
    reply: (payload: Uint8Array) => void,
  ): void {
    const answer = this.answer(payload, nowMs);
    if (answer) reply(answer);
  }

  /** Null: not a question that a client or a symmetric peer asks. */
  answer(request: Uint8Array, nowMs: number): Uint8Array<ArrayBuffer> | null {
    if (request.length < PACKET_BYTES) return null;
    const version = (request[0]! >> 3) & 7;
    const mode = request[0]! & 7;
    if (version < 1 || version > 4) return null;
    if (mode !== MODE.client && mode !== MODE.symmetricActive) return null;
    const answer = new Uint8Array(PACKET_BYTES);
    const view = new DataView(answer.buffer);
    const timeMs = this.#epochMs + nowMs;
    view.setUint8(0, (version << 3) | (mode === MODE.client ? MODE.server : MODE.symmetricPassive));
    view.setUint8(1, 1);
    view.setUint8(2, request[2]!);
    view.setInt8(3, PRECISION);
    view.setUint32(8, ROOT_DISPERSION);
    view.setUint32(12, REFERENCE);
    setTimestamp(view, 16, timeMs);
    // Origin: what the client called its transmit time, bit for bit.
    answer.set(request.subarray(40, 48), 24);
    setTimestamp(view, 32, timeMs);
    setTimestamp(view, 40, timeMs);
    return answer;
  }
}

/** 32.32 seconds since 1900, which wrap in 2036 (RFC 5905 §6). */
function setTimestamp(view: DataView, at: number, unixMs: number): void {
  const seconds = Math.floor(unixMs / 1000);
  view.setUint32(at, (seconds + ERA_SECONDS) % 2 ** 32);
  view.setUint32(at + 4, Math.floor(((unixMs - seconds * 1000) / 1000) * 2 ** 32));
}

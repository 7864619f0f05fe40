import type { GuestMemory } from "../../bus/guest-memory.ts";
import {
  findSegment,
  finishChecksum,
  finishIpv4,
  isIntact,
  ones,
  pseudoSum,
  putU16,
} from "../ethernet/checksum.ts";
import { cutForLink } from "../ethernet/segmentation.ts";
import type { Kept } from "./receive-ring.ts";

/**
 * The descriptor rings of C+ mode (RTL8139C+ datasheet §6.2, §6.3): four words each, owned by the card or by the driver, the
 * last of a ring marked. The card keeps its place in each ring.
 */
export interface RingRegisters {
  /** Of the normal-priority transmit ring, low and high. */
  readonly TSAD0: number;
  readonly TSAD1: number;
  readonly RDSAR: number;
  readonly RDSAR_HIGH: number;
  readonly CPCR: number;
}

const OWNED = 0x8000_0000;
const END_OF_RING = 0x4000_0000;
const FIRST = 0x2000_0000;
const LAST = 0x1000_0000;
const LARGE = 0x0800_0000;
const Checksum = { ip: 1 << 18, udp: 1 << 17, tcp: 1 << 16 } as const;
const Received = {
  tcp: 1 << 16,
  udp: 2 << 16,
  ip: 3 << 16,
  badIp: 1 << 15,
  badUdp: 1 << 14,
  badTcp: 1 << 13,
} as const;
const RECEIVE_CHECKSUMS = 0x20;
const DESCRIPTOR_BYTES = 16;
const CHECK_BYTES = 4;
const MAX_PACKET_BYTES = 0xffff + 14;
const TCP = 6;

export class DescriptorRings {
  /** Descriptors of a ring that is full. */
  static readonly length = 64;
  readonly #memory: GuestMemory;
  readonly #registers: RingRegisters;
  readonly #packet = new Uint8Array(MAX_PACKET_BYTES);
  #length = 0;
  #valid = true;
  #sendIndex = 0;
  #receiveIndex = 0;

  constructor(memory: GuestMemory, registers: RingRegisters) {
    this.#memory = memory;
    this.#registers = registers;
  }

  /** Both rings begin anew. */
  rewind(): void {
    this.#sendIndex = this.#receiveIndex = this.#length = 0;
    this.#valid = true;
  }

  /** Takes one transmit descriptor; null when the driver owns the next. */
  nextToSend(): { readonly frames?: Iterable<Uint8Array> } | null {
    const base = this.#registers.TSAD0 + this.#registers.TSAD1 * 2 ** 32;
    const at = base + DESCRIPTOR_BYTES * this.#sendIndex;
    const options = this.#memory.readU32(at);
    if (!(options & OWNED)) return null;
    if (options & FIRST) {
      this.#length = 0;
      this.#valid = true;
    }
    this.#append(this.#memory.readU64(at + 8), options & 0xffff);
    this.#memory.writeU32(at, (options & ~OWNED) >>> 0);
    this.#sendIndex = this.#next(this.#sendIndex, options);
    if (!(options & LAST)) return {};
    const frame = this.#valid ? this.#packet.slice(0, this.#length) : undefined;
    this.#length = 0;
    return { frames: frame ? framesOf(frame, options) : [] };
  }

  /** Puts a frame into the next receive descriptor, which must have room for all of it. */
  store(frame: Uint8Array): Kept {
    const base = this.#registers.RDSAR + this.#registers.RDSAR_HIGH * 2 ** 32;
    const at = base + DESCRIPTOR_BYTES * this.#receiveIndex;
    const options = this.#memory.readU32(at);
    if (!(options & OWNED)) return "later";
    const total = frame.length + CHECK_BYTES;
    if (total > (options & 0x1fff)) return "no";
    this.#memory.write(this.#memory.readU64(at + 8), frame);
    const checks = this.#registers.CPCR & RECEIVE_CHECKSUMS ? verdict(frame) : 0;
    this.#memory.writeU32(at + 4, 0);
    this.#memory.writeU32(at, ((options & END_OF_RING) | FIRST | LAST | checks | total) >>> 0);
    this.#receiveIndex = this.#next(this.#receiveIndex, options);
    return "yes";
  }

  #next(index: number, options: number): number {
    return options & END_OF_RING ? 0 : (index + 1) % DescriptorRings.length;
  }

  #append(address: number, length: number): void {
    const fits = this.#length + length <= MAX_PACKET_BYTES && this.#memory.contains(address, length);
    if (!fits) this.#valid = false;
    if (!this.#valid) return;
    this.#packet.set(this.#memory.view(address, length), this.#length);
    this.#length += length;
  }
}

/** A large segment is cut; in any other packet the checksums that were asked for are made from the ground up. */
function framesOf(frame: Uint8Array, options: number): Iterable<Uint8Array> {
  if (options & LARGE) return cutForLink(frame, (options >>> 16) & 0x7ff);
  const found = findSegment(frame);
  if (!found) return [frame];
  if (found.version === 4 && options & Checksum.ip) finishIpv4(frame);
  const { protocol, transport, end } = found;
  if (options & (protocol === TCP ? Checksum.tcp : Checksum.udp)) {
    const offset = protocol === TCP ? 16 : 6;
    putU16(frame, transport + offset, pseudoSum(frame, found, end - transport));
    finishChecksum(frame, transport, offset, end);
  }
  return [frame];
}

/** Bits of the receive descriptor that say what the frame is and which checksums are wrong. */
function verdict(frame: Uint8Array): number {
  const found = findSegment(frame);
  if (!found || found.version !== 4) return 0;
  const badIp = ones(frame, 14, found.transport) === 0xffff ? 0 : Received.badIp;
  const intact = isIntact(frame, found);
  return found.protocol === TCP
    ? badIp | Received.tcp | (intact ? 0 : Received.badTcp)
    : badIp | Received.udp | (intact ? 0 : Received.badUdp);
}

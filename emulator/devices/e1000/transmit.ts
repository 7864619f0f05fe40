import type { GuestMemory } from "../../bus/guest-memory.ts";
import { finishChecksum } from "../ethernet/checksum.ts";
import { cutForLink } from "../ethernet/segmentation.ts";

/**
 * Transmit descriptors (8254x manual §3.3): legacy, TCP/IP context and TCP/IP data. The card gathers what they name until one
 * ends a packet, and does what that packet's descriptors ask for. VLAN tags are not inserted.
 */
const Command = { end: 0x01, checksum: 0x04, segment: 0x04, report: 0x08, extended: 0x20 } as const;
const Option = { ip: 0x01, transport: 0x02 } as const;
const ContextCommand = { tcp: 0x01 } as const;
const CONTEXT = 0;
const MAX_PACKET_BYTES = 0xffff + 14;

interface Context {
  ipStart: number;
  ipOffset: number;
  ipEnd: number;
  start: number;
  offset: number;
  end: number;
  mss: number;
  tcp: boolean;
}

/** What one descriptor did: whether its status is wanted, and the frames of the packet that it ended. */
export interface TransmitStep {
  readonly report: boolean;
  readonly frames?: Iterable<Uint8Array>;
}

export class TransmitAssembler {
  readonly #memory: GuestMemory;
  readonly #context: Context = {
    ipStart: 0,
    ipOffset: 0,
    ipEnd: 0,
    start: 0,
    offset: 0,
    end: 0,
    mss: 0,
    tcp: false,
  };
  /** The packet so far. One that is too long, or lies outside RAM, is not sent. */
  readonly #packet = new Uint8Array(MAX_PACKET_BYTES);
  #length = 0;
  #valid = true;
  #options = 0;
  #begun = false;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  forget(): void {
    this.#length = 0;
    this.#valid = true;
    this.#begun = false;
  }

  take(at: number): TransmitStep {
    const word = this.#memory.readU32(at + 8);
    const command = word >>> 24;
    if (!(command & Command.extended)) return this.#legacy(at, word & 0xffff, command);
    if (((word >>> 20) & 15) === CONTEXT) return this.#setContext(at, word, command);
    return this.#data(at, word & 0xf_ffff, command);
  }

  #setContext(at: number, word: number, command: number): TransmitStep {
    const ip = this.#memory.readU32(at);
    const transport = this.#memory.readU32(at + 4);
    const sizes = this.#memory.readU32(at + 12);
    Object.assign(this.#context, {
      ipStart: ip & 0xff,
      ipOffset: (ip >>> 8) & 0xff,
      ipEnd: ip >>> 16,
      start: transport & 0xff,
      offset: (transport >>> 8) & 0xff,
      end: transport >>> 16,
      mss: sizes >>> 16,
      tcp: (command & ContextCommand.tcp) !== 0,
    });
    return { report: (command & Command.report) !== 0 };
  }

  #legacy(at: number, length: number, command: number): TransmitStep {
    this.#append(this.#memory.readU64(at), length);
    const report = (command & Command.report) !== 0;
    if (!(command & Command.end)) return { report };
    const frame = this.#finish();
    if (!frame) return { report, frames: [] };
    if (command & Command.checksum) {
      const offset = this.#memory.readU8(at + 10);
      const start = this.#memory.readU8(at + 13);
      finishChecksum(frame, start, offset - start);
    }
    return { report, frames: [frame] };
  }

  /** The first data descriptor of a packet says which checksums it wants (§3.3.7). */
  #data(at: number, length: number, command: number): TransmitStep {
    if (!this.#begun) this.#options = this.#memory.readU8(at + 13);
    this.#begun = true;
    this.#append(this.#memory.readU64(at), length);
    const report = (command & Command.report) !== 0;
    if (!(command & Command.end)) return { report };
    const frame = this.#finish();
    if (!frame) return { report, frames: [] };
    const context = this.#context;
    if (command & Command.segment && context.tcp) return { report, frames: cutForLink(frame, context.mss) };
    const endOf = (last: number): number => (last === 0 ? frame.length : Math.min(last + 1, frame.length));
    if (this.#options & Option.ip)
      finishChecksum(frame, context.ipStart, context.ipOffset - context.ipStart, endOf(context.ipEnd));
    if (this.#options & Option.transport)
      finishChecksum(frame, context.start, context.offset - context.start, endOf(context.end));
    return { report, frames: [frame] };
  }

  #append(address: number, length: number): void {
    const fits = this.#length + length <= MAX_PACKET_BYTES && this.#memory.contains(address, length);
    if (!fits) this.#valid = false;
    if (!this.#valid) return;
    this.#packet.set(this.#memory.view(address, length), this.#length);
    this.#length += length;
  }

  #finish(): Uint8Array | undefined {
    const frame = this.#valid ? this.#packet.slice(0, this.#length) : undefined;
    this.forget();
    return frame;
  }
}

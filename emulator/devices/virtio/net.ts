import { findSegment, finishChecksum, isIntact } from "../ethernet/checksum.ts";
import {
  drain,
  FULL_FRAME_BYTES,
  MAX_FRAME_BYTES,
  newCounters,
  POLL_FRAMES,
  Sender,
  type NetworkCard,
  type Wire,
} from "../ethernet/network-card.ts";
import { cutForLink, cutToFit, Joiner, uncut, type Joined } from "../ethernet/segmentation.ts";
import { ReceiveFilter } from "./net-control.ts";
import type { VirtioModel, VirtioPort } from "./pci-transport.ts";
import { gather, scatter, type Chain } from "./virtqueue.ts";

/**
 * Network card (virtio 1.2 §5.1): one pair of queues and a control queue. The card makes and verifies checksums, cuts large
 * segments (TSO) and joins small ones (LRO), because a guest that is interpreted pays for every frame and every byte that it
 * sums. Not offered: several pairs, RSS, VLAN filter, UDP segments, notification coalescing. Profile "windows7" is the
 * contract AERO-W7-VIRTIO v1: MAC and STATUS only, and a header of ten bytes that says nothing.
 */
export interface NetOptions {
  readonly mac: Uint8Array;
  readonly wire: Wire;
  readonly profile?: "full" | "windows7" | undefined;
}

/** §5.1.3. */
export const NetFeature = {
  checksum: 1 << 0,
  guestChecksum: 1 << 1,
  mac: 1 << 5,
  guestTso4: 1 << 7,
  guestTso6: 1 << 8,
  hostTso4: 1 << 11,
  hostTso6: 1 << 12,
  mergeableBuffers: 1 << 15,
  status: 1 << 16,
  control: 1 << 17,
  controlReceive: 1 << 18,
  controlMac: 1 << 23,
} as const;
const WINDOWS7_FEATURES = NetFeature.mac | NetFeature.status;
const FULL_FEATURES = Object.values(NetFeature).reduce((all, bit) => all | bit, 0);

const Queue = { receive: 0, transmit: 1, control: 2 } as const;
const HeaderFlag = { needsChecksum: 1, dataValid: 2 } as const;
/** ECN is a bit beside the kind. */
const Gso = { none: 0, tcp4: 1, tcp6: 4 } as const;
const GSO_ECN = 0x80;
const STATUS_LINK_UP = 1;
const HEADER_BYTES = 12;
/** Without the number of buffers. */
const SHORT_HEADER_BYTES = 10;
/** Buffers of one frame: Linux never needs more than 44 for the longest. Smaller buffers than that take shorter frames. */
const MAX_BUFFERS = 128;
/** §5.1.6.2: a large segment with its Ethernet header. */
const MAX_REQUEST_BYTES = 65_550 + HEADER_BYTES;

/** A frame that was judged and waits for a buffer. The number of buffers goes into the header when it is written. */
interface Ready {
  readonly frame: Uint8Array;
  readonly header: Uint8Array;
}
const PLAIN = new Uint8Array(HEADER_BYTES);
const VALID = Uint8Array.of(HeaderFlag.dataValid, ...PLAIN.subarray(1));
const TCP_CHECKSUM_OFFSET = 16;

export class VirtioNet implements VirtioModel, NetworkCard {
  readonly type = 1;
  readonly subsystem = 1;
  readonly classCode = 0x020000;
  readonly features: number;
  readonly queueSizes: readonly number[];
  readonly counters = newCounters();
  readonly filter: ReceiveFilter;
  readonly #port: VirtioPort;
  readonly #wire: Wire;
  readonly #sender: Sender;
  readonly #joiner = new Joiner();
  readonly #windows7: boolean;
  #connected = true;
  /** In order: a joined frame and the one that did not follow it, or the parts of a long one. */
  readonly #ready: Ready[] = [];

  constructor(port: VirtioPort, { mac, wire, profile = "full" }: NetOptions) {
    this.#port = port;
    this.#wire = wire;
    this.#sender = new Sender(wire, this.counters);
    this.filter = new ReceiveFilter(port, mac);
    const windows7 = (this.#windows7 = profile === "windows7");
    this.features = windows7 ? WINDOWS7_FEATURES : FULL_FEATURES;
    this.queueSizes = windows7 ? [256, 256] : [256, 256, 64];
  }

  /** §5.1.4: MAC, status, and the number of queue pairs. */
  readConfig(offset: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.#configByte(offset + i) * 2 ** (8 * i);
    return value;
  }

  onReset(): void {
    this.#ready.length = 0;
    this.#joiner.forget();
    this.#sender.forget();
    this.filter.reset();
  }

  onNotify(index: number): void {
    if (index === Queue.transmit) this.#transmit();
    else if (index === Queue.control) this.filter.serve(Queue.control);
    else this.#receive();
  }

  setCable(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = this.#sender.connected = connected;
    this.#sender.retry();
    this.#port.configurationChanged();
  }

  poll(): void {
    if (this.#sender.busy) {
      this.#sender.retry();
      this.#transmit();
    }
    this.#receive();
    for (const queue of this.#port.queues) if (queue.broken) this.#port.needsReset();
  }

  #configByte(at: number): number {
    if (at < 6) return this.filter.mac[at]!;
    if (at === 6) return this.#connected ? STATUS_LINK_UP : 0;
    return at === 8 ? 1 : 0;
  }

  /** §5.1.6.1: a legacy driver's is short unless buffers are mergeable. */
  get #headerBytes(): number {
    const short = this.#windows7 || (this.#port.legacy && !this.#has(NetFeature.mergeableBuffers));
    return short ? SHORT_HEADER_BYTES : HEADER_BYTES;
  }

  #has(feature: number): boolean {
    return (this.#port.features & feature) !== 0;
  }

  /** §5.1.6.2. Requests wait in the ring while the wire has no room. */
  #transmit(): void {
    if (!this.#port.live || this.#sender.busy) return;
    this.#port.queues[Queue.transmit]!.drain((chain) => {
      const { readable, readableBytes, head } = chain;
      if (readableBytes > this.#headerBytes && readableBytes <= MAX_REQUEST_BYTES) {
        const bytes = gather(this.#port.memory, readable, 0, readableBytes);
        this.#sender.send(this.#framesOf(bytes));
      } else this.counters.dropped++;
      this.#port.complete(Queue.transmit, head, 0);
      return !this.#sender.busy;
    });
  }

  #framesOf(request: Uint8Array): Iterable<Uint8Array> {
    const frame = request.subarray(this.#headerBytes);
    if (!this.#has(NetFeature.checksum)) return [frame];
    const view = new DataView(request.buffer, request.byteOffset, HEADER_BYTES);
    const gso = view.getUint8(1) & ~GSO_ECN;
    if (gso === Gso.tcp4 || gso === Gso.tcp6) return cutForLink(frame, view.getUint16(4, true));
    if (view.getUint8(0) & HeaderFlag.needsChecksum)
      finishChecksum(frame, view.getUint16(6, true), view.getUint16(8, true));
    return [frame];
  }

  #receive(): void {
    if (!this.#port.live || !this.#connected) return drain(this.#wire, this.counters);
    for (let left = POLL_FRAMES; left > 0; left--) {
      if (!this.#storeReady()) return;
      const frame = this.#wire.receive();
      if (!frame) break;
      if (this.filter.accepts(frame)) this.#take(frame);
      else this.counters.dropped++;
    }
    this.#closeJoined();
    this.#storeReady();
  }

  /** Joins the frame to those before it, or makes those ready and begins anew. */
  #take(frame: Uint8Array): void {
    if (frame.length > MAX_FRAME_BYTES) return this.#takeLong(frame);
    const found = this.#has(NetFeature.guestChecksum) ? findSegment(frame) : null;
    const intact = found !== null && isIntact(frame, found);
    const joins = intact && this.#has(found.version === 4 ? NetFeature.guestTso4 : NetFeature.guestTso6);
    if (joins && this.#joiner.offer(frame)) return;
    this.#closeJoined();
    if (joins && this.#joiner.offer(frame)) return;
    this.#ready.push({ frame, header: intact ? VALID : PLAIN });
  }

  /** A TCP segment that nobody has cut: whole where the driver takes such, else cut here. */
  #takeLong(frame: Uint8Array): void {
    this.#closeJoined();
    const isV4 = frame[12] === 0x08;
    const takes = this.#has(isV4 ? NetFeature.guestTso4 : NetFeature.guestTso6);
    const whole = takes ? uncut(frame) : null;
    if (whole) this.#ready.push({ frame: whole.frame, header: headerOf(whole) });
    else if (takes) this.counters.dropped++;
    else
      for (const part of cutToFit(frame, FULL_FRAME_BYTES)) this.#ready.push({ frame: part, header: PLAIN });
  }

  #closeJoined(): void {
    if (!this.#joiner.filled) return;
    const joined = this.#joiner.take();
    if (joined instanceof Uint8Array) this.#ready.push({ frame: joined, header: VALID });
    else this.#ready.push({ frame: joined.frame, header: headerOf(joined) });
  }

  /** False: what is ready waits for buffers. */
  #storeReady(): boolean {
    while (this.#ready.length > 0 && this.#store(this.#ready[0]!)) this.#ready.shift();
    return this.#ready.length === 0;
  }

  /** §5.1.6.3.1: one buffer, or as many as it takes when they are mergeable. False: the driver has not offered enough yet. */
  #store({ frame, header }: Ready): boolean {
    const queue = this.#port.queues[Queue.receive]!;
    const limit = this.#has(NetFeature.mergeableBuffers) ? Math.min(queue.values.SIZE, MAX_BUFFERS) : 1;
    const needed = this.#headerBytes + frame.length;
    const chains: Chain[] = [];
    let room = 0;
    while (room < needed && chains.length < limit) {
      const chain = queue.pop();
      if (!chain) break;
      chains.push(chain);
      room += chain.writableBytes;
    }
    const fits = room >= needed && chains[0]!.writableBytes >= this.#headerBytes;
    if (fits) this.#write(frame, header, chains);
    else {
      queue.rewind(chains.length);
      if (chains.length < limit) return false;
      this.counters.dropped++;
    }
    return true;
  }

  #write(frame: Uint8Array, header: Uint8Array, chains: readonly Chain[]): void {
    const { memory } = this.#port;
    header[10] = chains.length;
    header[11] = chains.length >>> 8;
    let done = 0;
    for (const chain of chains) {
      const start = done === 0 ? this.#headerBytes : 0;
      if (start > 0) scatter(memory, chain.writable, 0, header.subarray(0, start));
      const length = Math.min(chain.writableBytes - start, frame.length - done);
      scatter(memory, chain.writable, start, frame.subarray(done, done + length));
      this.#port.complete(Queue.receive, chain.head, start + length);
      done += length;
    }
    this.counters.receivedFrames++;
    this.counters.receivedBytes += frame.length;
  }
}

/** §5.1.6.4: what the driver is told of a frame that was joined out of several. */
function headerOf({ frame, transport, mss, version }: Joined): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint8(0, HeaderFlag.needsChecksum);
  view.setUint8(1, version === 4 ? Gso.tcp4 : Gso.tcp6);
  view.setUint16(2, transport + 4 * (frame[transport + 12]! >>> 4), true);
  view.setUint16(4, mss, true);
  view.setUint16(6, transport, true);
  view.setUint16(8, TCP_CHECKSUM_OFFSET, true);
  return header;
}

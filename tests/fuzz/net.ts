import { FULL_FRAME_BYTES } from "../../emulator/devices/ethernet/network-card.ts";
import { cutToFit } from "../../emulator/devices/ethernet/segmentation.ts";
import { lanDefaults, largeLan } from "../../durable-objects/net/lan.ts";
import { Dhcp } from "../../durable-objects/net/dhcp.ts";
import { Ntp } from "../../durable-objects/net/ntp.ts";
import { Resolver } from "../../durable-objects/net/dns.ts";
import { Stack } from "../../durable-objects/net/stack.ts";
import { limits } from "../../durable-objects/net/tcp/limits.ts";
import { reassemblyLimits } from "../../durable-objects/net/reassembly.ts";
import { ETHERNET_BYTES } from "../../durable-objects/net/wire/ethernet.ts";
import { flags } from "../../durable-objects/net/wire/tcp.ts";
import type { FlowId, FlowTarget, World } from "../../durable-objects/net/world.ts";
import {
  GUEST,
  type ReadSegment,
  icmpFrame,
  ipFrame,
  readSegment,
  tcpFrame,
  udpFrame,
} from "../support/guest-frames.ts";
import { arpFrom } from "../support/two-stacks.ts";
import { randomBytes, seededRandom } from "../support/seeded-random.ts";

/** What the stack may hold at most, whatever it is sent: the sum of its named bounds, and 64 MB in the order's words. */
export const heldLimitBytes =
  limits.stackSendBytes +
  lanDefaults.maxFlows * limits.leastFlowBytes +
  limits.stackReceiveBytes +
  lanDefaults.maxFlows * lanDefaults.mtu +
  reassemblyLimits.bytes;

export interface FuzzResult {
  readonly frames: number;
  readonly sent: number;
  readonly dials: number;
  readonly peakHeldBytes: number;
  readonly peakFlows: number;
  /** Segments of the stack's that were longer than the MTU; absent where the LAN has none. */
  readonly longSent?: number;
}

export interface FuzzOptions {
  /** The LAN of `virga-l2-v1`, where TCP segments travel uncut. The frames of a seed are others then. */
  readonly long?: boolean;
  readonly onProgress?: (done: number) => void;
}

/** A world that answers as chance has it: dials late or refuses, writes some, delivers, ends and resets. */
class ChanceWorld implements World {
  stack!: Stack;
  sent = 0;
  longSent = 0;
  dials = 0;
  /** The stack's last words to each port of the guest: a hostile guest knows them. */
  readonly heard = new Map<number, { seq: number; ack: number }>();
  readonly flows = new Map<FlowId, { unwritten: number; dialed: boolean }>();
  /** The flows that were there when this was last made: some have gone since. */
  #all: FlowId[] = [];
  #turns = 0;
  readonly #random: () => number;
  readonly #lan: typeof lanDefaults;
  /** Of a large LAN more, so that its guest knows what to acknowledge. */
  readonly #readShare: number;
  readonly #body = new Uint8Array(20_001);

  constructor(random: () => number, lan: typeof lanDefaults) {
    this.#random = random;
    this.#lan = lan;
    this.#readShare = lan.segmentBytes > lan.mtu ? 0.5 : 0.05;
  }

  transmit(frame: Uint8Array): void {
    this.sent++;
    const isLong = frame.length > ETHERNET_BYTES + this.#lan.mtu;
    if (isLong) this.longSent++;
    if (frame.length > ETHERNET_BYTES + this.#lan.segmentBytes) throw new Error(`${frame.length} bytes sent`);
    // A share of what is sent is read back, which throws when a checksum is wrong.
    if (this.#random() > this.#readShare) return;
    const segment = readSegment(frame);
    if (isLong) checkCut(frame, segment);
    if (!segment) return;
    const length = segment.data.length + (segment.flags & (flags.syn | flags.fin) ? 1 : 0);
    this.heard.set(segment.destinationPort, { seq: segment.ack, ack: (segment.seq + length) >>> 0 });
  }
  dial(flow: FlowId, _target: FlowTarget): void {
    this.dials++;
    this.flows.set(flow, { unwritten: 0, dialed: false });
  }
  send(flow: FlowId, bytes: Uint8Array): void {
    const entry = this.flows.get(flow);
    if (!entry) throw new Error(`bytes for flow ${flow}, which is not`);
    entry.unwritten += bytes.length;
  }
  finish(flow: FlowId): void {
    if (!this.flows.has(flow)) throw new Error(`FIN for flow ${flow}, which is not`);
  }
  closed(flow: FlowId): void {
    if (!this.flows.delete(flow)) throw new Error(`flow ${flow} closed twice`);
  }
  roomy(): void {}
  opened(): void {}
  resolve(): void {}
  datagram(): void {}

  /** Something for one of the flows. */
  act(nowMs: number): void {
    if (this.#turns++ % 256 === 0) this.#all = [...this.flows.keys()];
    const flow = this.#all[Math.floor(this.#random() * this.#all.length)] ?? 0;
    const entry = this.flows.get(flow);
    if (!entry) return;
    const chance = this.#random();
    if (!entry.dialed) {
      entry.dialed = true;
      if (chance < 0.1) this.stack.refused(flow, chance < 0.05 ? "prohibited" : "refused", nowMs);
      else this.stack.dialed(flow, nowMs);
    } else if (chance < 0.3) {
      const count = Math.floor(this.#random() * (entry.unwritten + 1));
      entry.unwritten -= count;
      this.stack.written(flow, count, nowMs);
    } else if (chance < 0.9) {
      const room = Math.min(this.stack.room(flow), 1 + Math.floor(this.#random() * 20_000));
      this.stack.deliver(flow, this.#body.subarray(0, room), nowMs);
    } else if (chance < 0.95) this.stack.ended(flow, nowMs);
    else if (chance < 0.97) this.stack.reset(flow, nowMs);
  }
}

/** What a card makes of a long segment: whole segments of the MTU with right checksums, and every byte once. */
function checkCut(frame: Uint8Array, segment: ReadSegment | null): void {
  if (!segment) throw new Error(`${frame.length} bytes that are no segment`);
  let next = segment.seq;
  for (const part of cutToFit(frame.slice(), FULL_FRAME_BYTES)) {
    const piece = readSegment(part);
    if (part.length > FULL_FRAME_BYTES || piece?.seq !== next) throw new Error("cut wrongly");
    next = (next + piece.data.length) >>> 0;
  }
  if (next !== (segment.seq + segment.data.length) >>> 0) throw new Error("cut short");
}

const pick = <T>(random: () => number, from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
const below = (random: () => number, bound: number): number => Math.floor(random() * bound);

/** A segment that is nearly right: of a small set of ports, with numbers near those that the stack expects. */
function nearlyTcp(random: () => number, world: ChanceWorld): Uint8Array {
  const guestPort = 1 + below(random, 2000);
  const known = world.heard.get(guestPort) ?? { seq: below(random, 2 ** 32), ack: below(random, 2 ** 32) };
  const near = () =>
    random() < 0.6 ? 0 : random() < 0.8 ? below(random, 6000) - 3000 : below(random, 2 ** 32);
  const bits = random() < 0.3 ? flags.syn : random() < 0.8 ? flags.ack : below(random, 64);
  const options = random() < 0.7 ? new Uint8Array(0) : randomBytes(random, 4 * below(random, 11));
  const payload = new Uint8Array(random() < 0.5 ? 0 : below(random, 1461 - options.length));
  const numbers = { seq: (known.seq + near()) >>> 0, ack: (known.ack + near()) >>> 0 };
  if (random() < 0.5) known.seq = (known.seq + payload.length) >>> 0;
  const window = below(random, 65_536);
  const to = random() < 0.05 ? "10.0.2.2" : "192.0.2.7";
  const ends = { guestPort, peerPort: pick(random, [80, 443, 53]), to };
  return tcpFrame({ ...ends, ...numbers, flags: bits, window, payload, options });
}

/**
 * What a guest with a large LAN sends: a SYN with the MSS and the scale that let the stack send long segments, text of up to
 * the longest frame and beyond it, acknowledgements with a wide window. From few ports, so that many find each other.
 */
function longTcp(random: () => number, world: ChanceWorld): Uint8Array {
  const guestPort = 1 + below(random, 100);
  const known = world.heard.get(guestPort) ?? { seq: below(random, 2 ** 32), ack: below(random, 2 ** 32) };
  const isSyn = random() < 0.15;
  const mss = pick(random, [1460, 1460, 1460, 1448, 536, 65_535, 1]);
  const options = Uint8Array.of(2, 4, mss >> 8, mss & 255, 1, 3, 3, below(random, 15));
  const most = largeLan.segmentBytes - 40;
  const length = random() < 0.4 ? 0 : random() < 0.5 ? most - below(random, 4) + 2 : below(random, most);
  const seq = random() < 0.9 ? known.seq : (known.seq + below(random, 40_000) - 20_000) >>> 0;
  const bits = isSyn ? flags.syn : flags.ack | (random() < 0.003 ? flags.fin : 0);
  const ends = { guestPort, peerPort: 80, to: "192.0.2.7" };
  const numbers = { seq, ack: known.ack, flags: bits, window: random() < 0.8 ? 0xffff : below(random, 3000) };
  return tcpFrame({ ...ends, ...numbers, ...(isSyn ? { options } : { payload: new Uint8Array(length) }) });
}

/** Longer than the MTU and not TCP, or a fragment: nobody may send these. */
function longOther(random: () => number): Uint8Array {
  const payload = randomBytes(random, 1400 + below(random, 600));
  const isFragment = random() < 0.5;
  const ends = { from: GUEST, fromPort: 68, to: "10.0.2.2", toPort: pick(random, [53, 67, 123, 9]) };
  if (!isFragment) return udpFrame(ends, payload);
  const fragment = (random() < 0.5 ? 0x2000 : 0) | below(random, 0x2000);
  return ipFrame(GUEST, "192.0.2.7", 6, payload, { fragment, identification: below(random, 8) });
}

function nearlyIp(random: () => number): Uint8Array {
  const payload = randomBytes(random, below(random, 200));
  const isV6 = random() < 0.5;
  const protocol = pick(random, [1, 6, 17, 58, 0, 43, 44, 60, 59, 2, 255]);
  const v4 = ["10.0.2.2", "8.8.8.8", "255.255.255.255", "224.0.0.1", "10.0.2.77", "127.0.0.1"];
  const v6 = ["ff02::1", "fd00:7669:7267::1", "2001:db8::1", "::1", "fe80::ff:fe00:1", "::"];
  const fragment = random() < 0.5 ? below(random, 0x1_0000) & 0x3fff : 0x4000;
  const options = { ttl: pick(random, [0, 1, 64, 255]), fragment, identification: below(random, 8) };
  const from = isV6
    ? pick(random, ["fd00:7669:7267::15", "fe80::5", "::"])
    : pick(random, [GUEST, "0.0.0.0"]);
  return ipFrame(from, isV6 ? pick(random, v6) : pick(random, v4), protocol, payload, options);
}

function nearlyIcmp(random: () => number): Uint8Array {
  const message = randomBytes(random, 8 + below(random, 100));
  const isV6 = random() < 0.6;
  message[0] = isV6 ? pick(random, [133, 135, 136, 134, 128, 1, 2]) : pick(random, [8, 0, 3, 13]);
  message[1] = random() < 0.8 ? 0 : below(random, 256);
  const to = isV6 ? pick(random, ["ff02::1:ff00:1", "ff02::2", "fd00:7669:7267::1"]) : "10.0.2.2";
  const from = isV6 ? pick(random, ["fd00:7669:7267::15", "fe80::5", "::"]) : GUEST;
  return icmpFrame(from, to, message, { ttl: 255 });
}

function nearlyUdp(random: () => number): Uint8Array {
  const toPort = pick(random, [53, 67, 123, 443, 9]);
  const to = pick(random, ["10.0.2.2", "255.255.255.255", "192.0.2.9"]);
  return udpFrame({ from: GUEST, fromPort: 68, to, toPort }, randomBytes(random, below(random, 400)));
}

/** A frame of chance: noise, something nearly right, and either of them with some bytes changed, cut or made longer. */
function frameOf(random: () => number, world: ChanceWorld, hasLong: boolean): Uint8Array {
  const kind = random();
  let frame: Uint8Array;
  if (hasLong && random() < 0.8) frame = random() < 0.95 ? longTcp(random, world) : longOther(random);
  else if (kind < 0.03) frame = randomBytes(random, below(random, 120));
  else if (kind < 0.75) frame = nearlyTcp(random, world);
  else if (kind < 0.85) frame = nearlyIp(random);
  else if (kind < 0.93) frame = nearlyIcmp(random);
  else if (kind < 0.98) frame = nearlyUdp(random);
  else frame = arpFrom("10.0.2.15");
  if (random() < 0.8 || frame.length === 0) return frame;
  const changed = frame.slice(0, random() < 0.3 ? below(random, frame.length) : frame.length);
  for (let count = below(random, 4); count >= 0 && changed.length > 0; count--)
    changed[below(random, changed.length)] = below(random, 256);
  return changed;
}

/** Never throws, never holds more than its bounds; throws itself when either is wrong. Same seed, same run. */
export function fuzzStack(frames: number, seed: number, options: FuzzOptions = {}): FuzzResult {
  const { long: hasLong = false, onProgress } = options;
  const random = seededRandom(seed);
  // Few flows, so that each of them comes far.
  const lan = hasLong ? { ...largeLan, maxFlows: 64 } : lanDefaults;
  const world = new ChanceWorld(random, lan);
  const config = { ...lan, secret: new Uint8Array(32).fill(3), epochMs: 0 };
  const dns = new Resolver({ gateway: config.gateway, domain: config.domain, resolve: () => {} });
  const stack = new Stack(config, { dhcp: new Dhcp(config), dns, udp: [new Ntp(0)] }, world);
  world.stack = stack;
  let now = 0;
  let peakHeldBytes = 0;
  let peakFlows = 0;
  for (let done = 0; done < frames; done++) {
    stack.onFrame(frameOf(random, world, hasLong), now);
    if (random() < 0.2) world.act(now);
    if (random() < 0.1) now += random() < 0.01 ? 5000 : random() * 3;
    if ((stack.pollAt() ?? Infinity) <= now) stack.onTime(now);
    if (done % 64 === 0) {
      const { sendHeld, receiveHeld, reassembling, active } = stack.counts;
      peakHeldBytes = Math.max(peakHeldBytes, sendHeld + receiveHeld + reassembling);
      peakFlows = Math.max(peakFlows, active);
      if (sendHeld < 0 || receiveHeld < 0 || reassembling < 0)
        throw new Error("more was given back than was held");
      if (peakHeldBytes > heldLimitBytes) throw new Error(`${peakHeldBytes} bytes are held`);
      if (active > config.maxFlows) throw new Error(`${active} flows`);
    }
    if (done % 100_000 === 0) onProgress?.(done);
  }
  const { sent, dials, longSent } = world;
  return { frames, sent, dials, peakHeldBytes, peakFlows, ...(hasLong && { longSent }) };
}

import { FULL_FRAME_BYTES } from "../../emulator/devices/ethernet/network-card.ts";
import { cutToFit } from "../../emulator/devices/ethernet/segmentation.ts";
import { lanDefaults } from "../../durable-objects/net/lan.ts";
import { Stack } from "../../durable-objects/net/stack.ts";
import { parseIp } from "../../durable-objects/net/ip-text.ts";
import type { Endpoint, FlowId, StackConfig, World } from "../../durable-objects/net/world.ts";
import { Impairment, type Impairments } from "./impairment.ts";
import { TestWorld } from "./test-world.ts";

const GUEST_MAC = Uint8Array.of(2, 0, 0, 0, 0, 0x15);
const SERVER = "192.0.2.1";

/** One connection of a program in the guest. */
export interface Program {
  readonly flow: FlowId;
  readonly received: Uint8Array[];
  waiting: Uint8Array;
  isOpen: boolean;
  hasEnded: boolean;
  isFinished: boolean;
  closed: "done" | "reset" | "timeout" | undefined;
  /** Reads at most so many bytes a millisecond; undefined: at once. */
  readonly readsPerMs: number | undefined;
  unread: number;
  lastReadAt: number;
}

/** The guest's end: the same stack, in the role of the one that opens. It believes that every address is on its link. */
class GuestWorld implements World {
  readonly programs = new Map<FlowId, Program>();
  onFrame: (frame: Uint8Array) => void = () => {};
  transmit(frame: Uint8Array): void {
    this.onFrame(frame);
  }
  dial(): void {}
  send(flow: FlowId, bytes: Uint8Array): void {
    const program = this.programs.get(flow)!;
    program.received.push(bytes.slice());
    program.unread += bytes.length;
  }
  finish(flow: FlowId): void {
    this.programs.get(flow)!.isFinished = true;
  }
  closed(flow: FlowId, why: "done" | "reset" | "timeout"): void {
    this.programs.get(flow)!.closed = why;
  }
  roomy(): void {}
  opened(flow: FlowId): void {
    this.programs.get(flow)!.isOpen = true;
  }
  resolve(): void {}
  datagram(_from: Endpoint, _to: Endpoint, _payload: Uint8Array): void {}
}

/** Two stacks and a bad link between them, in a time of their own. */
export class TwoStacks {
  now = 1000;
  readonly world = new TestWorld();
  readonly stack: Stack;
  readonly guestWorld = new GuestWorld();
  readonly guest: Stack;
  readonly toGuest: Impairment;
  readonly toStack: Impairment;
  /** The most that was ever held by either. */
  peakBytes = 0;

  constructor(
    how: Impairments & { readonly cuts?: boolean },
    seed: number,
    changes: Partial<StackConfig> = {},
  ) {
    this.toGuest = new Impairment(how, seed);
    this.toStack = new Impairment(how, seed ^ 0x5555);
    const config = { ...lanDefaults, secret: new Uint8Array(32).fill(seed & 255), epochMs: 0, ...changes };
    this.stack = new Stack(config, {}, this.world);
    this.world.stack = this.stack;
    this.world.now = () => this.now;
    this.world.onFrame = (frame) => {
      const parts = how.cuts ? framesOf(frame) : [frame];
      for (const part of parts) this.toGuest.offer(part, this.now);
    };
    const { ipv6Prefix: _, ...lan } = config;
    const own = { gatewayMac: GUEST_MAC, gateway: lanDefaults.firstLease, prefixLength: 0 };
    this.guest = new Stack({ ...lan, ...own, secret: new Uint8Array(32).fill(99) }, {}, this.guestWorld);
    this.guestWorld.onFrame = (frame) => this.toStack.offer(frame, this.now);
    this.guest.onFrame(arpFrom(SERVER), this.now);
  }

  open(port: number, body: Uint8Array, readsPerMs?: number): Program {
    const to = { address: SERVER, port };
    const flow = this.guest.open(to, { address: lanDefaults.firstLease, port: 0 }, this.now);
    if (flow === null) throw new Error("no room for a flow");
    const fresh = { received: [], isOpen: false, hasEnded: false, isFinished: false, closed: undefined };
    const reading = { readsPerMs, unread: 0, lastReadAt: this.now };
    const program: Program = { flow, waiting: body, ...fresh, ...reading };
    this.guestWorld.programs.set(flow, program);
    return program;
  }

  /** Programs write what fits, end when they have written all, and read at their pace. */
  #runPrograms(): number {
    let wantedAt = Infinity;
    for (const program of this.guestWorld.programs.values()) {
      if (program.closed !== undefined) continue;
      if (program.isOpen && program.waiting.length > 0) {
        const room = this.guest.room(program.flow);
        const piece = program.waiting.slice(0, room);
        program.waiting = program.waiting.subarray(piece.length);
        if (piece.length > 0) this.guest.deliver(program.flow, piece, this.now);
      }
      if (program.isOpen && program.waiting.length === 0 && !program.hasEnded) {
        program.hasEnded = true;
        this.guest.ended(program.flow, this.now);
      }
      wantedAt = Math.min(wantedAt, this.#read(program));
    }
    return wantedAt;
  }

  #read(program: Program): number {
    if (program.unread === 0) return Infinity;
    const pace = program.readsPerMs;
    const may = pace === undefined ? program.unread : Math.floor((this.now - program.lastReadAt) * pace);
    const count = Math.min(program.unread, may);
    if (count > 0) {
      program.unread -= count;
      program.lastReadAt = this.now;
      this.guest.written(program.flow, count, this.now);
    }
    return program.unread > 0 ? this.now + 10 : Infinity;
  }

  /** Goes on until every program is closed, nothing is wanted any more, or `limitMs` of this time are over. */
  run(limitMs: number): void {
    const end = this.now + limitMs;
    for (;;) {
      for (let round = 0; round < 2; round++) {
        this.world.turn();
        for (const frame of this.toStack.take(this.now)) this.stack.onFrame(frame, this.now);
        for (const frame of this.toGuest.take(this.now)) this.guest.onFrame(frame, this.now);
        for (const one of [this.stack, this.guest])
          if ((one.pollAt() ?? Infinity) <= this.now) one.onTime(this.now);
      }
      const programsAt = this.#runPrograms();
      const { sendHeld, receiveHeld } = this.stack.counts;
      this.peakBytes = Math.max(this.peakBytes, sendHeld + receiveHeld);
      const isOver = [...this.guestWorld.programs.values()].every(({ closed }) => closed !== undefined);
      const at = Math.min(
        programsAt,
        this.stack.pollAt() ?? Infinity,
        this.guest.pollAt() ?? Infinity,
        this.toGuest.nextAt(),
        this.toStack.nextAt(),
      );
      if ((isOver && this.world.flows.size === 0) || at > end) return;
      this.now = Math.max(this.now, at);
    }
  }
}

/** As a card hands them on that takes no long segments. */
const framesOf = (frame: Uint8Array): Iterable<Uint8Array> =>
  frame.length > FULL_FRAME_BYTES ? cutToFit(frame, FULL_FRAME_BYTES) : [frame];

/** An ARP request from this address at the gateway's hardware address: all that the guest learns of its link. */
export function arpFrom(address: string): Uint8Array {
  const frame = new Uint8Array(42);
  frame.set(GUEST_MAC, 0);
  frame.set(lanDefaults.gatewayMac, 6);
  frame.set([8, 6, 0, 1, 8, 0, 6, 4, 0, 1], 12);
  frame.set(lanDefaults.gatewayMac, 22);
  frame.set(parseIp(address)!, 28);
  frame.set(parseIp(lanDefaults.firstLease)!, 38);
  return frame;
}

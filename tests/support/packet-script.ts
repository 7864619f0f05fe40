import { expect, test } from "vitest";
import type { StackConfig } from "../../durable-objects/net/world.ts";
import { lanDefaults } from "../../durable-objects/net/lan.ts";
import { flags } from "../../durable-objects/net/wire/tcp.ts";
import { Stack } from "../../durable-objects/net/stack.ts";
import { type ReadSegment, PEER, readIcmpFrame, readSegment, tcpFrame } from "./guest-frames.ts";
import { arpFrom } from "./two-stacks.ts";
import { NotedWorld, testConfig } from "./guest-stack.ts";

/**
 * Dialogues that a network engineer can read (packetdrill's idea). One step a line; `#` begins a comment.
 *
 *   < FLAGS FROM:TO [ack N] [win N] [OPTIONS] [port P]  the guest sends; text is what FROM:TO says, zero-based bytes
 *   > FLAGS FROM:TO [ack N] [win N] [OPTIONS]           the stack has sent exactly this, next in turn
 *   > icmp TYPE CODE                                    the stack has sent this ICMP error
 *   . nothing                                           the stack has sent nothing more
 *   + MS                                                so much time passes; timers run when they are due
 *   = STATE                                             the state of the first flow, `gone` when there is none
 *   ? EVENT, EVENT                                      exactly these calls of the world since the last such line
 *   dialed · refused WHY · deliver N · written N · ended · reset · open      calls of the host, for the first flow
 *
 * FLAGS are S F R P and `.` for ACK. Numbers are relative to each side's ISS, the stack's begins just below 2^32 and
 * the guest's too. OPTIONS: mss=N wscale=N sackok sack=A-B,C-D ts=VAL:ECR (a relative VAL of the stack is milliseconds
 * since the start). A line of the stack without `ts`, `win` or `mss` says nothing about them.
 */
const BELOW_WRAP = 5;
const GUEST_ISS = 0xffff_fff0;
const PORT = 40_000;
const START_MS = 1_000_000;

const letters: readonly (readonly [string, number])[] = [
  ["S", flags.syn],
  ["F", flags.fin],
  ["R", flags.rst],
  ["P", flags.psh],
  ["U", flags.urg],
  [".", flags.ack],
];
const bitsOf = (text: string): number =>
  Array.from(text).reduce((bits, letter) => bits | (letters.find(([name]) => name === letter)?.[1] ?? 0), 0);
const lettersOf = (bits: number): string => letters.map(([name, bit]) => (bits & bit ? name : "")).join("");

interface Line {
  readonly bits: number;
  readonly from: number;
  readonly to: number;
  readonly words: ReadonlyMap<string, string>;
}

/** `FLAGS A:B key value key=value …` */
function parseLine(text: string): Line {
  const [bits = "", range = "", ...rest] = text.trim().split(/\s+/);
  const [from = "0", to = "0"] = range.split(":");
  const words = new Map<string, string>();
  for (let at = 0; at < rest.length; at++) {
    const word = rest[at]!;
    if (word.includes("=")) words.set(word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1));
    else if (word === "sackok") words.set(word, "yes");
    else words.set(word, rest[++at] ?? "");
  }
  return { bits: bitsOf(bits), from: Number(from), to: Number(to), words };
}

export class Dialogue {
  readonly world = new NotedWorld();
  readonly stack: Stack;
  #now: number;
  #iss: number | undefined;
  #flow = 0;
  #heard: Uint8Array[] = [];

  constructor(changes: Partial<StackConfig> = {}, isOpening = false) {
    const config = testConfig(changes);
    this.#now = startTime(config, isOpening);
    this.stack = new Stack(config, {}, this.world);
    this.stack.onFrame(arpFrom(PEER), this.#now);
    this.stack.onFrame(guestArp(), this.#now);
    this.world.frames.length = 0;
  }

  get now(): number {
    return this.#now;
  }

  run(script: string): this {
    for (const raw of script.split("\n")) {
      const line = raw.replace(/#.*/, "").trim();
      if (line) this.#step(line);
    }
    return this;
  }

  #fail(line: string, why: string): never {
    throw new Error(`"${line}": ${why}`);
  }

  #step(line: string): void {
    const rest = line.slice(1).trim();
    if (line.startsWith("<")) this.#say(parseLine(rest));
    else if (line.startsWith("> icmp")) this.#expectIcmp(line);
    else if (line.startsWith(">")) this.#expect(line, parseLine(rest));
    else if (line === ". nothing") this.#expectNothing(line);
    else if (line.startsWith("+")) this.#pass(Number(rest));
    else if (line.startsWith("=")) this.#expectState(line, rest);
    else if (line.startsWith("?")) this.#expectEvents(line, rest);
    else this.#call(line);
  }

  #pull(): void {
    this.#heard.push(...this.world.frames.splice(0));
  }

  #say({ bits, from, to, words }: Line): void {
    const seq = (GUEST_ISS + from) >>> 0;
    const length = to - from;
    const payload = Uint8Array.from({ length }, (_, index) => (from + index) & 255);
    const ack = words.has("ack") ? ((this.#iss ?? 0) + Number(words.get("ack"))) >>> 0 : 0;
    const window = Number(words.get("win") ?? 65_535);
    const options = this.#options(words);
    const guestPort = Number(words.get("port") ?? PORT);
    this.stack.onFrame(
      tcpFrame({ guestPort, peerPort: 80, seq, ack, flags: bits, window, payload, options }),
      this.#now,
    );
    this.#note();
  }

  #note(): void {
    const first = this.world.dials[0]?.flow;
    if (this.#flow === 0 && first !== undefined) this.#flow = first;
    if (this.#iss !== undefined) return;
    for (const frame of this.world.frames) {
      const segment = readSegment(frame);
      if (segment && segment.flags & flags.syn) this.#iss = segment.seq;
    }
  }

  #options(words: ReadonlyMap<string, string>): Uint8Array {
    const bytes: number[] = [];
    const word = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
    const mss = words.get("mss");
    if (mss) bytes.push(2, 4, Number(mss) >> 8, Number(mss) & 255);
    const scale = words.get("wscale");
    if (scale) bytes.push(1, 3, 3, Number(scale));
    if (words.has("sackok")) bytes.push(1, 1, 4, 2);
    const ts = words.get("ts")?.split(":").map(Number);
    if (ts) bytes.push(1, 1, 8, 10, ...word(ts[0]!), ...word(ts[1] ?? 0));
    const sack = words
      .get("sack")
      ?.split(",")
      .map((block) => block.split("-").map(Number));
    if (sack) bytes.push(1, 1, 5, 2 + 8 * sack.length);
    for (const edge of (sack ?? []).flat()) bytes.push(...word(((this.#iss ?? 0) + edge) >>> 0));
    return Uint8Array.from(bytes);
  }

  #expect(line: string, wanted: Line): void {
    this.#pull();
    const frame = this.#heard.shift();
    const segment = frame && readSegment(frame);
    if (!segment)
      this.#fail(line, frame ? "the stack sent something else than TCP" : "the stack sent nothing");
    if (segment.flags & flags.syn) this.#iss ??= segment.seq;
    const got = this.#show(segment, wanted.words);
    const want = this.#showWanted(wanted);
    if (got !== want) this.#fail(line, `the stack sent "${got}"`);
  }

  /** The segment in the dialect, as far as the line speaks about it. */
  #show(segment: ReadSegment, about: ReadonlyMap<string, string>): string {
    const bare = (segment.flags & (flags.rst | flags.ack)) === flags.rst;
    const isReset = (segment.flags & flags.rst) !== 0;
    const iss = this.#iss ?? 0;
    const from = isReset && segment.seq === 0 ? 0 : (segment.seq - iss) | 0;
    const parts = [`${lettersOf(segment.flags)} ${from}:${from + segment.data.length}`];
    if (!bare && segment.flags & flags.ack) parts.push(`ack ${(segment.ack - GUEST_ISS) | 0}`);
    if (about.has("win")) parts.push(`win ${segment.window}`);
    if (about.has("mss")) parts.push(`mss=${segment.mss}`);
    if (about.has("wscale")) parts.push(`wscale=${segment.scale}`);
    if (about.has("sackok")) parts.push(segment.sackPermitted ? "sackok" : "");
    if (about.has("ts")) parts.push(segment.hasTimestamps ? `ts=${segment.tsEcr}` : "ts=none");
    const blocks: string[] = [];
    for (let at = 0; at < segment.sackBlocks; at++)
      blocks.push([0, 1].map((edge) => (segment.sack[2 * at + edge]! - GUEST_ISS) | 0).join("-"));
    if (about.has("sack") || blocks.length > 0) parts.push(`sack=${blocks.join(",")}`);
    return parts.join(" ");
  }

  #showWanted({ bits, from, to, words }: Line): string {
    const parts = [`${lettersOf(bits)} ${from}:${to}`];
    if (words.has("ack")) parts.push(`ack ${words.get("ack")}`);
    for (const key of ["win"]) if (words.has(key)) parts.push(`${key} ${words.get(key)}`);
    for (const key of ["mss", "wscale"]) if (words.has(key)) parts.push(`${key}=${words.get(key)}`);
    if (words.has("sackok")) parts.push("sackok");
    if (words.has("ts")) parts.push(`ts=${words.get("ts")}`);
    if (words.has("sack")) parts.push(`sack=${words.get("sack")}`);
    return parts.join(" ");
  }

  #expectIcmp(line: string): void {
    this.#pull();
    const frame = this.#heard.shift();
    const icmp = frame && readIcmpFrame(frame);
    const got = icmp ? `> icmp ${icmp.type} ${icmp.code}` : "no ICMP";
    if (got !== line.replace(/\s+/g, " ")) this.#fail(line, `the stack sent ${got}`);
  }

  #expectNothing(line: string): void {
    this.#pull();
    const frame = this.#heard[0];
    if (!frame) return;
    const segment = readSegment(frame);
    this.#fail(line, `the stack sent "${segment ? this.#show(segment, new Map()) : "no TCP"}"`);
  }

  /** Timers run at their own times, as a host would run them. */
  #pass(ms: number): void {
    const end = this.#now + ms;
    for (let at = this.stack.pollAt(); at !== undefined && at <= end; at = this.stack.pollAt()) {
      this.#now = Math.max(this.#now, at);
      this.stack.onTime(this.#now);
    }
    this.#now = end;
  }

  #expectState(line: string, wanted: string): void {
    const state = [...this.stack.flows()].find(({ id }) => id === this.#flow)?.state ?? "gone";
    if (state !== wanted) this.#fail(line, `it is ${state}`);
  }

  #expectEvents(line: string, wanted: string): void {
    const got = this.world.take().join(", ");
    if (got !== wanted) this.#fail(line, `the world was told "${got}"`);
  }

  #call(line: string): void {
    const [what, argument = "0"] = line.split(" ");
    const count = Number(argument);
    const bytes = Uint8Array.from({ length: count || 0 }, (_, index) => index & 255);
    if (what === "dialed") this.stack.dialed(this.#flow, this.#now);
    else if (what === "refused") this.stack.refused(this.#flow, argument as "refused", this.#now);
    else if (what === "deliver") this.stack.deliver(this.#flow, bytes, this.#now);
    else if (what === "written") this.stack.written(this.#flow, count, this.#now);
    else if (what === "ended") this.stack.ended(this.#flow, this.#now);
    else if (what === "reset") this.stack.reset(this.#flow, this.#now);
    else if (what === "open") this.#open(line);
    else this.#fail(line, "no such step");
    this.#note();
  }

  #open(line: string): void {
    const to = { address: lanDefaults.firstLease, port: PORT };
    const flow = this.stack.open(to, { address: PEER, port: 80 }, this.#now);
    if (flow === null) this.#fail(line, "no flow");
    this.#flow = flow;
  }
}

function guestArp(): Uint8Array {
  const frame = arpFrom(lanDefaults.firstLease);
  frame.set(lanDefaults.gatewayMac, 0);
  frame.set([2, 0, 0, 0, 0, 0x10], 6);
  frame.set([2, 0, 0, 0, 0, 0x10], 22);
  return frame;
}

/** When the ISS of the first connection is just below 2^32: RFC 6528's clock is 4 µs, and the rest of it stays the same. */
function startTime(config: StackConfig, isOpening: boolean): number {
  const world = new NotedWorld();
  const stack = new Stack(config, {}, world);
  stack.onFrame(guestArp(), START_MS);
  world.frames.length = 0;
  const ends = { guestPort: PORT, peerPort: 80, seq: 1, ack: 0, window: 1000 };
  if (isOpening)
    stack.open({ address: lanDefaults.firstLease, port: PORT }, { address: PEER, port: 80 }, START_MS);
  else {
    stack.onFrame(tcpFrame({ ...ends, flags: flags.syn }), START_MS);
    stack.dialed(1, START_MS);
  }
  const iss = readSegment(world.frames[0]!)!.seq;
  const wanted = 2 ** 32 - BELOW_WRAP;
  // A little more, so that the division cannot fall below the tick.
  return START_MS + ((wanted - iss) >>> 0) / 250 + 0.0001;
}

/** A test that is nothing but a dialogue. `isOpening`: the first flow is one that the host opens to the guest. */
export function dialogue(
  name: string,
  text: string,
  changes: Partial<StackConfig> = {},
  isOpening = false,
): void {
  test(`dialogue: ${name}`, () => {
    expect(() => new Dialogue(changes, isOpening).run(text)).not.toThrow();
  });
}

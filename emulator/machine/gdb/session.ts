/**
 * One GDB that is connected: its packets answered with what the debugger does ("Debugging with GDB", appendix E). The machine is
 * one thread, number 1. Breakpoints of both kinds are the core's, so that no byte of the guest changes.
 */
import type { DebugPoint } from "../../cpu/core.ts";
import type { Debugger, Stop } from "../debugger.ts";
import { monitor } from "./monitor.ts";
import { fromHex, PACKET_BYTES, packet, PacketReader, toHex } from "./packets.ts";
import { describeTarget, type GdbRegister, type TargetDescription } from "./target-description.ts";

/** What the core has room for. */
const BREAKPOINTS = 256;
const WATCHPOINTS = 32;
/** Packets that may wait while the machine runs; GDB sends none but an interrupt. */
const QUEUE = 64;
/** Error numbers are Linux's, as GDB expects: EPERM, EFAULT, EINVAL, ENOSPC. */
const FAULT = "E0e";
const INVALID = "E16";
const FULL = "E1c";

const KINDS = ["execute", "execute", "write", "read", "access"] as const;
const STOP_NAMES = { read: "rwatch", write: "watch", access: "awatch" } as const;

export interface GdbConnection {
  send(bytes: Uint8Array): void;
  close(): void;
}

interface Point {
  readonly type: number;
  readonly point: DebugPoint;
}

export class GdbSession {
  readonly #debugger: Debugger;
  readonly #connection: GdbConnection;
  readonly #reader = new PacketReader();
  readonly #description: TargetDescription;
  readonly #points = new Map<string, Point>();
  #installed = "";
  #acknowledges = true;
  #running = false;
  #closed = false;
  #queue: string[] = [];
  #last: Uint8Array = packet("");
  #stop: Stop = { reason: "interrupt" };

  /** The machine is paused. */
  constructor(machine: Debugger, connection: GdbConnection) {
    this.#debugger = machine;
    this.#connection = connection;
    this.#description = describeTarget(machine.registers.longMode);
  }

  receive(bytes: Uint8Array): void {
    for (const event of this.#reader.read(bytes)) {
      if (this.#closed) return;
      if (event.kind === "interrupt") this.#interrupt();
      else if (event.kind === "again") this.#connection.send(this.#last);
      else if (event.kind === "damaged" && this.#acknowledges) this.#connection.send(Uint8Array.of(0x2d));
      else if (event.kind === "packet") this.#accept(event.data);
    }
  }

  /** GDB is gone: the machine is let go. */
  disconnected(): void {
    if (this.#closed) return;
    this.#closed = true;
    void this.#letGo();
  }

  async #letGo(): Promise<void> {
    if (this.#running) await this.#debugger.interrupt();
    this.#debugger.detach();
  }

  #interrupt(): void {
    if (this.#running) void this.#debugger.interrupt();
  }

  #accept(data: Uint8Array): void {
    if (this.#acknowledges) this.#connection.send(Uint8Array.of(0x2b));
    const text = Array.from(data, (byte) => String.fromCharCode(byte)).join("");
    this.#take(text);
  }

  /** While the machine runs, packets wait. */
  #take(text: string): void {
    if (!this.#running) return this.#handle(text);
    if (this.#queue.push(text) > QUEUE) this.#connection.close();
  }

  #reply(text: string): void {
    this.#last = packet(text);
    if (!this.#closed) this.#connection.send(this.#last);
  }

  #handle(text: string): void {
    const letter = text[0] ?? "";
    const rest = text.slice(1);
    switch (letter) {
      case "q":
      case "Q":
        return this.#query(text);
      case "v":
        return this.#vPacket(text);
      case "?":
        return this.#reply(stopText(this.#stop));
      case "c":
      case "C":
        return this.#continue(resumeAddress(letter, rest));
      case "s":
      case "S":
        return this.#step(resumeAddress(letter, rest));
      case "D":
        this.#reply("OK");
        this.#closed = true;
        return this.#debugger.detach();
      case "k":
        this.#closed = true;
        this.#debugger.kill();
        return this.#connection.close();
      default:
        return this.#reply(this.#state(letter, rest));
    }
  }

  /** Packets that read or change something and are answered at once. */
  #state(letter: string, rest: string): string {
    switch (letter) {
      case "g":
        return this.#description.registers.map((register) => toHex(this.#read(register))).join("");
      case "G":
        return this.#writeAll(rest);
      case "p": {
        const register = this.#description.registers[Number.parseInt(rest, 16)];
        return register ? toHex(this.#read(register)) : INVALID;
      }
      case "P":
        return this.#writeOne(rest);
      case "m":
        return this.#readMemory(rest);
      case "M":
      case "X":
        return this.#writeMemory(letter, rest);
      case "Z":
      case "z":
        return this.#point(letter, rest);
      case "H":
      case "T":
        return "OK";
      default:
        // An empty reply says that there is no such packet.
        return "";
    }
  }

  // ---------------------------------------------------------------------------------------------- registers

  #read({ ours, bytes }: GdbRegister): Uint8Array {
    const value = this.#debugger.registers.read(ours) ?? new Uint8Array();
    const padded = new Uint8Array(bytes);
    padded.set(value.subarray(0, bytes));
    return padded;
  }

  #write({ ours }: GdbRegister, value: Uint8Array): boolean {
    const padded = new Uint8Array(16);
    padded.set(value.subarray(0, 16));
    return this.#debugger.registers.write(ours, padded);
  }

  #writeAll(hex: string): string {
    const bytes = fromHex(hex);
    if (!bytes) return INVALID;
    let at = 0;
    for (const register of this.#description.registers) {
      if (at + register.bytes > bytes.length) break;
      this.#write(register, bytes.subarray(at, at + register.bytes));
      at += register.bytes;
    }
    return "OK";
  }

  #writeOne(rest: string): string {
    const [number = "", hex = ""] = rest.split("=");
    const register = this.#description.registers[Number.parseInt(number, 16)];
    const bytes = fromHex(hex);
    if (!register || bytes?.length !== register.bytes) return INVALID;
    return this.#write(register, bytes) ? "OK" : INVALID;
  }

  // ---------------------------------------------------------------------------------------------- memory

  #readMemory(rest: string): string {
    const span = spanOf(rest);
    if (!span) return INVALID;
    const bytes = this.#debugger.read(span.address, Math.min(span.length, PACKET_BYTES / 2));
    return bytes.length === 0 && span.length > 0 ? FAULT : toHex(bytes);
  }

  #writeMemory(letter: string, rest: string): string {
    const colon = rest.indexOf(":");
    const span = spanOf(rest.slice(0, Math.max(colon, 0)));
    const data = rest.slice(colon + 1);
    const bytes =
      letter === "X" ? Uint8Array.from(data, (character) => character.charCodeAt(0)) : fromHex(data);
    if (!span || bytes?.length !== span.length) return INVALID;
    return this.#debugger.write(span.address, bytes) ? "OK" : FAULT;
  }

  // ---------------------------------------------------------------------------------------------- breakpoints

  /** "Z0,addr,kind": kept here until the machine goes on. */
  #point(letter: string, rest: string): string {
    const match = /^([0-4]),([0-9a-f]{1,16}),([0-9a-f]{1,4})(?:;|$)/i.exec(rest);
    if (!match) return "";
    const type = Number(match[1]);
    const address = BigInt(`0x${match[2]}`);
    const length = Number.parseInt(match[3]!, 16);
    const kind = KINDS[type]!;
    const key = `${type},${address.toString(16)},${kind === "execute" ? 1 : length}`;
    if (letter === "z") {
      this.#points.delete(key);
      return "OK";
    }
    const alike = [...this.#points.values()].filter(
      ({ point }) => (point.kind === "execute") === (kind === "execute"),
    );
    if (!this.#points.has(key) && alike.length >= (kind === "execute" ? BREAKPOINTS : WATCHPOINTS))
      return FULL;
    if (kind === "execute") this.#points.set(key, { type, point: { kind, address } });
    else if (length === 0) return INVALID;
    else this.#points.set(key, { type, point: { kind, address, length } });
    return "OK";
  }

  /** GDB takes its points out at each stop and puts them in again: the core hears of what has really changed. */
  #install(): void {
    const keys = [...this.#points.keys()].toSorted().join(" ");
    if (keys === this.#installed) return;
    this.#installed = keys;
    this.#debugger.setPoints([...this.#points.values()].map(({ point }) => point));
  }

  // ---------------------------------------------------------------------------------------------- running

  #setRip(address: bigint | undefined): void {
    if (address === undefined) return;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, address, true);
    this.#debugger.registers.write("rip", bytes);
  }

  #step(address?: bigint): void {
    this.#setRip(address);
    this.#install();
    this.#stop = this.#debugger.step();
    this.#reply(this.#stopText());
  }

  #continue(address?: bigint): void {
    this.#setRip(address);
    this.#install();
    this.#running = true;
    void this.#debugger.resume().then((stop) => {
      this.#running = false;
      this.#stop = stop;
      this.#reply(this.#stopText());
      if (stop.reason === "end") return this.#connection.close();
      for (const text of this.#queue.splice(0)) this.#take(text);
    });
  }

  /** A breakpoint is told by the kind that GDB gave it. */
  #stopText(): string {
    if (this.#stop.reason !== "breakpoint") return stopText(this.#stop);
    const { pc } = this.#debugger.registers;
    const hit = [...this.#points.values()].find(
      ({ point }) => point.kind === "execute" && point.address === pc,
    );
    return stopText(this.#stop, hit?.type === 1 ? "hwbreak" : "swbreak");
  }

  // ---------------------------------------------------------------------------------------------- queries

  #query(text: string): void {
    if (text.startsWith("qSupported")) {
      const size = PACKET_BYTES.toString(16);
      return this.#reply(
        `PacketSize=${size};QStartNoAckMode+;qXfer:features:read+;vContSupported+;swbreak+;hwbreak+`,
      );
    }
    if (text === "QStartNoAckMode") {
      this.#reply("OK");
      this.#acknowledges = false;
      return;
    }
    const command = /^qRcmd,([0-9a-f]*)$/i.exec(text);
    if (command) return this.#monitor(command[1]!);
    const part = /^qXfer:features:read:target\.xml:([0-9a-f]{1,8}),([0-9a-f]{1,8})$/i.exec(text);
    if (part) return this.#reply(this.#xmlPart(Number.parseInt(part[1]!, 16), Number.parseInt(part[2]!, 16)));
    this.#reply(FIXED_ANSWERS[text] ?? FIXED_ANSWERS[text.split(":")[0]!] ?? "");
  }

  /** "l" says that this is the last part, "m" that there is more. */
  #xmlPart(offset: number, length: number): string {
    const { xml } = this.#description;
    const end = offset + Math.min(length, PACKET_BYTES / 2);
    return (end >= xml.length ? "l" : "m") + xml.slice(offset, end);
  }

  #monitor(hex: string): void {
    const bytes = fromHex(hex);
    const text = bytes && monitor(this.#debugger, String.fromCharCode(...bytes));
    this.#reply(text === undefined ? INVALID : toHex(new TextEncoder().encode(text)) || "OK");
  }

  #vPacket(text: string): void {
    if (text === "vCont?") return this.#reply("vCont;c;C;s;S");
    if (text.startsWith("vKill")) {
      this.#reply("OK");
      this.#closed = true;
      return this.#debugger.kill();
    }
    // There is one thread: the first action that names it, or all, is its.
    const action = /^vCont;([csCS])/.exec(text)?.[1]?.toLowerCase();
    if (action === "c") return this.#continue();
    return action === "s" ? this.#step() : this.#reply("");
  }
}

const FIXED_ANSWERS: Record<string, string> = {
  qC: "QC1",
  qfThreadInfo: "m1",
  qsThreadInfo: "l",
  qAttached: "1",
  qSymbol: "OK",
  qTStatus: "",
};

/** "c100" goes on at an address; "C05;100" has a signal before it, which this machine cannot take. */
function resumeAddress(letter: string, rest: string): bigint | undefined {
  const text = letter === letter.toUpperCase() ? rest.split(";")[1] : rest;
  return text !== undefined && /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
}

function spanOf(text: string): { readonly address: bigint; readonly length: number } | undefined {
  const match = /^([0-9a-f]{1,16}),([0-9a-f]{1,8})$/i.exec(text);
  return match ? { address: BigInt(`0x${match[1]}`), length: Number.parseInt(match[2]!, 16) } : undefined;
}

/** SIGTRAP, SIGINT, or how the machine ended. */
function stopText(stop: Stop, breakpoint = "swbreak"): string {
  switch (stop.reason) {
    case "step":
      return "T05thread:1;";
    case "breakpoint":
      return `T05${breakpoint}:;thread:1;`;
    case "interrupt":
      return "T02thread:1;";
    case "watchpoint": {
      const { kind } = stop.hit.point;
      const name = kind === "execute" ? "watch" : STOP_NAMES[kind];
      return `T05${name}:${stop.hit.address.toString(16)};thread:1;`;
    }
    case "end":
      return stop.end.reason === "failed" ? "X06" : "W00";
    default:
      return stop satisfies never;
  }
}

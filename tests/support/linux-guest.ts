import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Dhcp } from "../../durable-objects/net/dhcp.ts";
import { lanDefaults } from "../../durable-objects/net/lan.ts";
import { Stack } from "../../durable-objects/net/stack.ts";
import { Impairment, type Impairments } from "./impairment.ts";
import { TestWorld } from "./test-world.ts";

const here = dirname(fileURLToPath(import.meta.url));
const DEVICE = "tap0";

/** Why a Linux guest cannot be had here; undefined: it can. */
export function whyNoLinuxGuest(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root for a network namespace";
  try {
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
  } catch {
    return "needs /dev/net/tun";
  }
  try {
    execFileSync("python3", ["--version"], { stdio: "ignore" });
    const name = `virga-try-${process.pid}`;
    execFileSync("ip", ["netns", "add", name], { stdio: "ignore" });
    execFileSync("ip", ["netns", "del", name], { stdio: "ignore" });
  } catch {
    return "needs python3 and a kernel with network namespaces (ip netns)";
  }
  return undefined;
}

/** This machine's kernel as the guest: a network namespace whose only way out is a TAP device into our stack. */
export class LinuxGuest {
  readonly world = new TestWorld();
  readonly stack: Stack;
  readonly #name: string;
  readonly #pump: ChildProcess;
  readonly #toGuest: Impairment;
  readonly #fromGuest: Impairment;
  #held: Buffer = Buffer.alloc(0);
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  private constructor(name: string, pump: ChildProcess, how: Impairments, seed: number) {
    this.#name = name;
    this.#pump = pump;
    this.#toGuest = new Impairment(how, seed);
    this.#fromGuest = new Impairment(how, seed + 1);
    const config = { ...lanDefaults, secret: new Uint8Array(32).fill(seed & 255), epochMs: 0 };
    this.stack = new Stack(config, { dhcp: new Dhcp(config) }, this.world);
    this.world.stack = this.stack;
    this.world.now = () => performance.now();
    this.world.onFrame = (frame) => this.#toGuest.offer(frame, performance.now());
    pump.stdout!.on("data", (bytes: Buffer) => this.#onBytes(bytes));
  }

  static async start(how: Impairments = {}, seed = 1): Promise<LinuxGuest> {
    const name = `virga-${process.pid}-${Math.floor(performance.now())}`;
    execFileSync("ip", ["netns", "add", name]);
    const args = ["netns", "exec", name, "python3", join(here, "tap-pump.py"), DEVICE];
    const pump = spawn("ip", args, { stdio: ["pipe", "pipe", "pipe"] });
    await new Promise<void>((resolve, reject) => {
      pump.stderr.once("data", (text: Buffer) =>
        text.toString() === "ready\n" ? resolve() : reject(new Error(text.toString())),
      );
      pump.once("exit", (code) => reject(new Error(`The pump ended with ${code}`)));
    });
    const guest = new LinuxGuest(name, pump, how, seed);
    guest.run(["ip", "link", "set", "lo", "up"]);
    guest.run(["ip", "link", "set", DEVICE, "address", "02:00:00:00:00:15", "up"]);
    return guest;
  }

  /** The address that DHCP would give, without DHCP. */
  configure(): void {
    this.run(["ip", "addr", "add", `${lanDefaults.firstLease}/24`, "dev", DEVICE]);
    this.run(["ip", "route", "add", "default", "via", lanDefaults.gateway]);
  }

  #onBytes(bytes: Buffer): void {
    const now = performance.now();
    const all = this.#held.length > 0 ? Buffer.concat([this.#held, bytes]) : bytes;
    let at = 0;
    while (at + 2 <= all.length) {
      const length = all.readUInt16BE(at);
      if (at + 2 + length > all.length) break;
      this.#fromGuest.offer(new Uint8Array(all.subarray(at + 2, at + 2 + length)), now);
      at += 2 + length;
    }
    this.#held = all.subarray(at);
    this.turn();
  }

  /** Everything that is due now, on both sides, and a timer for what is not. */
  turn(): void {
    if (this.#isStopped) return;
    const now = performance.now();
    for (const frame of this.#fromGuest.take(now)) this.stack.onFrame(frame, now);
    if ((this.stack.pollAt() ?? Infinity) <= now) this.stack.onTime(now);
    this.world.turn();
    const out = this.#toGuest.take(performance.now());
    if (out.length > 0) this.#write(out);
    clearTimeout(this.#timer);
    const at = Math.min(this.stack.pollAt() ?? Infinity, this.#toGuest.nextAt(), this.#fromGuest.nextAt());
    if (at < Infinity) this.#timer = setTimeout(() => this.turn(), Math.max(0, at - performance.now()));
  }

  #write(frames: readonly Uint8Array[]): void {
    const parts: Uint8Array[] = [];
    for (const frame of frames) parts.push(Uint8Array.of(frame.length >> 8, frame.length & 255), frame);
    this.#pump.stdin!.write(Buffer.concat(parts));
  }

  /** Runs a short program of the guest that needs no network. */
  run(command: readonly string[]): string {
    return execFileSync("ip", ["netns", "exec", this.#name, ...command], { encoding: "utf8" });
  }

  /** Runs a program of the guest to its end; its output, whatever its exit code is. */
  async exec(
    command: readonly string[],
    onOutput?: (text: string) => void,
  ): Promise<{ code: number; output: string }> {
    const child = spawn("ip", ["netns", "exec", this.#name, ...command], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text: Buffer) => {
        output += text.toString();
        onOutput?.(output);
      });
    const code = await new Promise<number>((resolve) =>
      child.once("close", (status) => resolve(status ?? -1)),
    );
    return { code, output };
  }

  /** The JSON line of guest-client.py. */
  async client(...args: readonly (string | number)[]): Promise<unknown[]> {
    const { output } = await this.exec(["python3", join(here, "guest-client.py"), ...args.map(String)]);
    const line = output.trim().split("\n").at(-1) ?? "";
    if (!line.startsWith("[")) throw new Error(output);
    return JSON.parse(line) as unknown[];
  }

  get script(): string {
    return join(here, "guest-client.py");
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#pump.removeAllListeners("exit");
    this.#pump.stdin!.end();
    this.#pump.kill();
    execFileSync("ip", ["netns", "del", this.#name]);
  }
}

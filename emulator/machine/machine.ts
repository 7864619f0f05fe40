import { GuestMemory } from "../bus/guest-memory.ts";
import { Timers } from "../bus/timers.ts";
import { Cpu, RunExit, type CpuHost } from "../cpu/core.ts";
import { models } from "../cpu/models.ts";
import type { VideoMemory } from "../devices/vga/video-memory.ts";
import { fail, ok, type Failure, type Outcome } from "../protocol/failure.ts";
import type { MachineStats, MouseMove, Stall } from "../protocol/machine-messages.ts";
import { defaultProcessor } from "../protocol/processor.ts";
import { Board } from "./board.ts";
import { CountedClock, HostClock, type GuestClock } from "./clock.ts";
import { Inspection, instructionAt } from "./inspection.ts";
import { loadLinux } from "./linux-boot.ts";
import type { MachineEnd, MachineOptions, MachineState } from "./machine-options.ts";
import { PatientDisk } from "./patient-disk.ts";
import { enterKernel } from "./processor-state.ts";
import { pictureOf, type Picture, ScreenWatch } from "./screen-watch.ts";
import { SerialBatch } from "./serial-batch.ts";
import { Meter } from "./meter.ts";

const SLICE_INSTRUCTIONS = 100_000;
/** Shorter slices cost more in changing over than they win in punctuality. */
const MIN_SLICE_INSTRUCTIONS = 2_000;
const YIELD_NS = 3_000_000;
const STALL_NS = 10_000_000;
/** A shorter wait is not worth a timer of the host. */
const SPIN_MS = 0.2;
/** A gap of the host's loop longer than this was a host that slept, and did not pass for the guest. */
const HOST_GAP_NS = 200_000_000;
/** A triple fault this soon after power-on would only repeat itself. */
const EARLY_INSTRUCTIONS = 20_000_000;

/** A serial line does not carry the terminal's size, so our images take it from the command line. */
const commandLineOf = ({ commandLine, terminal }: MachineOptions): string =>
  terminal ? `${commandLine} virga.size=${terminal.columns}x${terminal.rows}` : commandLine;

/** A PC: processor, board, disks and the loop that runs them. An asynchronous state machine that burns no idle time. */
export class Machine {
  readonly done: Promise<MachineEnd>;
  readonly #options: MachineOptions;
  readonly #cpu: Cpu;
  readonly #memory: GuestMemory;
  readonly #video: VideoMemory;
  readonly #clock: GuestClock;
  readonly #disks: readonly PatientDisk[];
  readonly #serial: SerialBatch;
  readonly #screen: ScreenWatch;
  readonly #meter: Meter;
  #board: Board;
  #timers: Timers;
  #end!: (end: MachineEnd) => void;

  #state: MachineState = "starting";
  #paused: boolean;
  #onPaused: (exit: RunExit | undefined) => void = () => {};
  #failure: Failure | undefined;
  #stall: Stall | null = null;
  /** What the guest or the page asked for; served between slices. */
  #wants: "run" | "reset" | "guest-reset" | "power-off" = "run";
  #inSlice = false;
  #sliceEndNs = 0;
  #sleeper: { wake(): void } | undefined;
  /** Cables stay as they are when the guest resets. */
  readonly #cables: boolean[] = [];

  /** Throws RangeError when the host has no room for the memory. */
  constructor(options: MachineOptions) {
    this.#options = options;
    this.#paused = options.startPaused ?? false;
    this.done = new Promise((resolve) => (this.#end = resolve));
    const { host, events } = options;
    this.#cpu = new Cpu({
      module: options.module,
      memoryMiB: options.memoryMiB,
      ...(options.processor && { processor: options.processor }),
      host: this.#forwardingHost(),
      shared: options.shared,
    });
    this.#memory = new GuestMemory({
      ram: this.#cpu.ram,
      onWrite: (address, length) => this.#cpu.invalidate(address, length),
    });
    this.#video = {
      bytes: this.#cpu.video,
      dirty: this.#cpu.videoDirty,
      place: (where) => this.#cpu.placeVideo(where),
      watch: () => this.#cpu.watchVideo(),
    };
    this.#meter = new Meter(() => host.nowNs(), this.#cpu);
    const fixed = options.nsPerInstruction;
    this.#clock =
      fixed === undefined
        ? new HostClock(() => host.nowNs())
        : new CountedClock(() => this.#meter.instructions, fixed);
    this.#disks = options.disks.map(
      (device) =>
        new PatientDisk({
          device,
          hostNs: () => host.nowNs(),
          onFailure: (failure) => this.#fail(failure),
          onSettled: () => this.wake(),
        }),
    );
    for (const { link } of options.nics ?? []) link.listen(() => this.wake());
    this.#serial = new SerialBatch((bytes) => events.serial(bytes));
    this.#screen = new ScreenWatch(this.#video, events);
    this.#timers = this.#newTimers();
    this.#board = this.#newBoard();
  }

  /** Loads the kernel and runs until the machine is off. Resolves with why it could not start, or when it runs. */
  async start(): Promise<Outcome<null>> {
    const booted = await this.#boot();
    if (booted.ok)
      void this.#loop().catch((problem: unknown) =>
        this.#crash({ code: "internal", incident: String(problem) }),
      );
    else this.#crash(booted.failure);
    return booted;
  }

  pause(): void {
    this.#paused = true;
    this.wake();
  }

  /** Goes on, and asks again for what has failed. */
  resume(): void {
    this.#paused = false;
    this.#failure = undefined;
    for (const disk of this.#disks) disk.retry();
    // A pause that comes before the loop has had its turn is told again.
    if (this.#state === "paused") this.#setState("running");
    this.wake();
  }

  reset(): void {
    this.#want("reset");
  }
  powerOff(): void {
    this.#want("power-off");
  }
  pressPowerButton(): void {
    this.#board.power.pressPowerButton();
  }
  sendSerial(bytes: Uint8Array): void {
    this.#board.uart.receiveFromHost(bytes);
  }
  sendKeys(scanCodes: Uint8Array): void {
    this.#board.keyboard.press(scanCodes);
  }

  /** Pulls or plugs the cable of a network card; one that does not exist has none. */
  setCable(nic: number, connected: boolean): void {
    this.#cables[nic] = connected;
    this.#board.nics[nic]?.setCable(connected);
  }
  moveMouse(move: MouseMove): void {
    this.#board.mouse.move(move);
  }
  /** The page has room for one frame of graphics: it goes now, or as soon as something changes. */
  requestFrame(whole: boolean): void {
    this.#screen.want(whole);
    this.#look();
  }
  get picture(): Picture {
    return pictureOf(this.#board.vga, this.#video);
  }

  /** Rates are those since the last call. */
  stats(): MachineStats {
    const count = (kind: "reads" | "writes"): number =>
      this.#board.disks.reduce((sum, disk) => sum + disk.counters[kind], 0);
    return {
      ...this.#meter.sample(),
      guestMs: this.#clock.now() / 1e6,
      diskReads: count("reads"),
      diskWrites: count("writes"),
      network: this.#board.nics.map(({ counters }) => ({ ...counters })),
    };
  }

  /** Ends a sleep: something has happened that the loop must see. */
  wake(): void {
    this.#sleeper?.wake();
  }

  /** For tests and the debugger of this house; guests have no way here. */
  get cpu(): Cpu {
    return this.#cpu;
  }

  /** RAM as the devices see it: a write drops the code that was decoded from it. */
  get memory(): GuestMemory {
    return this.#memory;
  }

  get state(): MachineState {
    return this.#state;
  }

  /** One listener is told each time the machine has paused, and by which exit if a slice did it. */
  set onPaused(listener: (exit: RunExit | undefined) => void) {
    this.#onPaused = listener;
  }

  /** Runs one instruction of a machine that is paused; its clock stands. */
  step(): RunExit {
    if (this.#state !== "paused") throw new Error("only a paused machine can step");
    const exit = this.#cpu.step();
    if (exit === RunExit.tripleFault && !this.#survivesTripleFault()) this.#want("power-off");
    return exit;
  }

  #want(what: "reset" | "guest-reset" | "power-off"): void {
    if (this.#wants !== "power-off") this.#wants = what;
    if (this.#inSlice) this.#cpu.stop();
    this.wake();
  }

  /** The core is built once; the board behind it changes at every reset. */
  #forwardingHost(): CpuHost {
    return {
      ioRead: (port, size) => this.#board.ports.read(port, size),
      ioWrite: (port, size, value) => this.#board.ports.write(port, size, value),
      mmioRead: (address, size) => this.#board.mmio.read(address, size),
      mmioWrite: (address, size, value) => this.#board.mmio.write(address, size, value),
      tsc: () => this.#clock.now(),
      acknowledgeInterrupt: () => this.#board.localApic.acknowledge(),
      random32: () => this.#options.host.random32(),
      readCr8: () => this.#board.readCr8(),
      writeCr8: (value) => this.#board.writeCr8(value),
      writeTscDeadline: (ticks) => this.#board.writeTscDeadline(ticks),
      writeApicBase: (value) => this.#board.writeApicBase(value),
    };
  }

  /** A deadline before the end of the running slice shortens it; one that comes while the machine sleeps wakes it. */
  #newTimers(): Timers {
    return new Timers((atNs) => {
      if (!this.#inSlice) this.wake();
      else if (atNs < this.#sliceEndNs) this.#cpu.stop();
    });
  }

  #newBoard(): Board {
    const timers = this.#timers;
    const board = new Board({
      memory: this.#memory,
      video: this.#video,
      timers,
      now: () => this.#clock.now(),
      random32: () => this.#options.host.random32(),
      wallClockMs: this.#options.wallClockMs,
      disks: this.#disks,
      nics: (this.#options.nics ?? []).map(({ link, ...nic }) => ({ ...nic, wire: link })),
      terminal: this.#options.terminal ?? { columns: 80, rows: 25 },
      setInterruptPin: (asserted) => this.#setPin(asserted, timers),
      raiseNmi: () => {
        this.#cpu.raiseNmi();
        this.#interrupted();
      },
      raiseSmi: () => {
        this.#cpu.raiseSmi();
        this.#interrupted();
      },
      setA20: (open) => this.#cpu.setA20(open),
      setSmram: (open) => this.#cpu.setSmram(open),
      onSerial: (byte) => this.#serial.add(byte),
      onConsole: (bytes) => this.#serial.addAll(bytes),
      onPowerOff: () => this.#want("power-off"),
      onReset: () => this.#want("guest-reset"),
    });
    this.#cables.forEach((connected, nic) => board.nics[nic]?.setCable(connected));
    return board;
  }

  /** The core looks at its pin between slices and after STI; a board that was replaced has no pin any more. */
  #setPin(asserted: boolean, timers: Timers): void {
    if (timers !== this.#timers) return;
    this.#cpu.setInterruptPin(asserted);
    if (asserted) this.#interrupted();
  }

  #interrupted(): void {
    if (this.#inSlice) this.#cpu.stop();
    else this.wake();
  }

  async #boot(): Promise<Outcome<null>> {
    this.#setState("starting");
    const files = await this.#options.loadBootFiles();
    if (!files.ok) return files;
    this.#clock.stop();
    this.#meter.beforeReset();
    this.#cpu.reset();
    // New memory is zero already; touching all of it would make the host find all of it.
    if (this.#meter.instructions > 0) this.#memory.fill(0, this.#memory.sizeBytes, 0);
    this.#timers = this.#newTimers();
    this.#board = this.#newBoard();
    const { screen } = this.#options;
    if (screen) this.#board.vga.setMode(screen.width, screen.height);
    const loaded = loadLinux(this.#memory, {
      ...files.value,
      ...(screen && { frameBuffer: { ...screen, address: this.#board.vga.frameBufferAt } }),
      commandLine: commandLineOf(this.#options),
      acpi: Board.acpi(),
    });
    if (!loaded.ok) return loaded;
    const { processor = defaultProcessor } = this.#options;
    if (loaded.value.bits === 64 && !models[processor].features.includes("lm"))
      return fail({ code: "unsupported", feature: `64-bit Linux on a processor ${processor}` });
    enterKernel(this.#cpu, loaded.value);
    // Virtual wire mode, as firmware leaves it; without a local APIC the 8259 pair has the INTR pin itself.
    if (models[processor].features.includes("apic")) this.#board.localApic.enterVirtualWireMode();
    else this.#board.writeApicBase(0);
    this.#clock.start();
    this.#wants = "run";
    return ok(null);
  }

  async #loop(): Promise<void> {
    let turnNs = this.#options.host.nowNs();
    for (;;) {
      if (this.#wants !== "run" && !(await this.#obey(this.#wants))) return;
      if (this.#blocked()) {
        this.#clock.stop();
        this.#show();
        await this.#sleep(Infinity);
        continue;
      }
      this.#clock.start();
      this.#setState("running");
      const exit = this.#slice();
      if (exit === RunExit.breakpoint || exit === RunExit.watchpoint) {
        this.#paused = true;
        this.#clock.stop();
        this.#show();
        this.#setState("paused", exit);
        continue;
      }
      if (exit === RunExit.tripleFault) {
        if (!this.#survivesTripleFault()) return;
        continue;
      }
      if (exit === RunExit.halted) await this.#idle();
      const hostNs = this.#options.host.nowNs();
      if (hostNs - turnNs >= YIELD_NS || this.#disks.some((disk) => disk.busy)) {
        this.#show();
        await this.#options.host.yieldToHost();
        const gap = this.#options.host.nowNs() - hostNs;
        if (gap > HOST_GAP_NS) this.#clock.forget(gap);
        turnNs = this.#options.host.nowNs();
      }
    }
  }

  #slice(): RunExit {
    const now = this.#clock.now();
    this.#timers.runDue(now);
    for (const nic of this.#board.nics) nic.poll();
    const ahead = this.#timers.nextNs - now;
    const wanted = this.#meter.instructionsIn(ahead, this.#options.nsPerInstruction);
    const budget = Math.max(
      Math.min(SLICE_INSTRUCTIONS, wanted),
      this.#options.nsPerInstruction === undefined ? MIN_SLICE_INSTRUCTIONS : 1,
    );
    this.#sliceEndNs = now + this.#meter.nsFor(budget, this.#options.nsPerInstruction);
    this.#inSlice = true;
    const { runSlice } = this.#options;
    const exit = this.#meter.measure(() =>
      runSlice ? runSlice(this.#cpu, this.#memory, budget) : this.#cpu.run(budget),
    );
    this.#inSlice = false;
    return exit;
  }

  /** Halted: sleeps until the next deadline or event. */
  async #idle(): Promise<void> {
    this.#show();
    const next = this.#timers.nextNs;
    if (this.#disks.some((disk) => disk.busy) && this.#options.nsPerInstruction !== undefined)
      return this.#sleep(Infinity);
    if (this.#clock.skipTo(next)) return;
    const ms = (next - this.#clock.now()) / 1e6;
    if (ms <= 0) return;
    const before = this.#options.host.nowNs();
    const oldest = this.#oldestRead();
    const patience = oldest ? Math.max((STALL_NS - (before - oldest.sinceNs)) / 1e6, 1) : Infinity;
    if (ms < SPIN_MS) await this.#options.host.yieldToHost();
    else await this.#sleep(Math.min(ms, patience));
    const slept = this.#options.host.nowNs() - before;
    this.#meter.idled(slept);
    const late = slept - ms * 1e6;
    if (late > HOST_GAP_NS) this.#clock.forget(late);
  }

  async #sleep(ms: number): Promise<void> {
    const sleeper = this.#options.host.sleep(ms);
    this.#sleeper = sleeper;
    await sleeper.done;
    this.#sleeper = undefined;
  }

  #oldestRead(): { offset: number; sinceNs: number } | undefined {
    let oldest: { offset: number; sinceNs: number } | undefined;
    for (const { oldestRead } of this.#disks)
      if (oldestRead && (!oldest || oldestRead.sinceNs < oldest.sinceNs)) oldest = oldestRead;
    return oldest;
  }

  /** Paused, failed, or waiting for a disk read that is late: then guest time stands still. */
  #blocked(): boolean {
    const oldest = this.#oldestRead();
    const now = this.#options.host.nowNs();
    const late =
      oldest !== undefined &&
      (now - oldest.sinceNs > STALL_NS || this.#options.nsPerInstruction !== undefined);
    if (late && !this.#stall) {
      this.#stall = { on: "disk", sinceMs: oldest.sinceNs / 1e6, offset: oldest.offset };
      this.#meter.stallBegins();
      this.#options.events.stalled?.(this.#stall);
    } else if (!late && this.#stall) {
      this.#stall = null;
      this.#meter.stallEnds();
      this.#options.events.stalled?.(null);
    }
    if (this.#paused || this.#failure) this.#setState("paused");
    return this.#paused || this.#failure !== undefined || this.#stall !== null;
  }

  /** Power-off and reset, between slices. False when the machine is off. */
  async #obey(wish: "reset" | "guest-reset" | "power-off"): Promise<boolean> {
    this.#show();
    if (wish === "power-off" || (wish === "guest-reset" && this.#options.onGuestReset === "end")) {
      this.#clock.stop();
      this.#setState("off");
      this.#end({ reason: wish === "power-off" ? "power-off" : "reset" });
      return false;
    }
    const booted = await this.#boot();
    if (!booted.ok) this.#crash(booted.failure);
    return booted.ok;
  }

  /** A triple fault resets a PC (SDM 3A §6.15, interrupt 8); one right after power-on is a kernel that cannot run here. */
  #survivesTripleFault(): boolean {
    const place = `${this.#cpu.rip.toString(16)} (${instructionAt(new Inspection(this.#cpu, this.#memory))})`;
    const problem = `triple fault at ${place} after ${this.#cpu.retired} instructions`;
    this.#options.events.log?.("error", problem);
    if (this.#cpu.retired >= EARLY_INSTRUCTIONS) this.#want("guest-reset");
    else this.#crash({ code: "guest-crashed", problem });
    return this.#cpu.retired >= EARLY_INSTRUCTIONS;
  }

  /** The world failed: the machine waits for `resume`. */
  #fail(failure: Failure): void {
    const first = !this.#failure;
    this.#failure = failure;
    if (first) this.#options.events.failed(failure);
    this.wake();
  }

  /** There is no way on. */
  #crash(failure: Failure): void {
    this.#show();
    this.#clock.stop();
    this.#options.events.failed(failure);
    this.#setState("off");
    this.#end({ reason: "failed", failure });
  }

  #setState(state: MachineState, exit?: RunExit): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.events.state(state);
    if (state === "paused") this.#onPaused(exit);
  }

  /** Hands on what the guest has said and drawn. */
  #show(): void {
    this.#serial.flush();
    this.#look();
  }
  #look(): void {
    this.#screen.look(this.#board.vga, this.#options.host.nowNs());
  }
}

/** A machine that the host has no room for is a failure, not an exception. */
export function createMachine(options: MachineOptions): Outcome<Machine> {
  try {
    return ok(new Machine(options));
  } catch (problem) {
    if (!(problem instanceof RangeError)) throw problem;
    return fail({ code: "unsupported", feature: `${options.memoryMiB} MiB of guest memory` });
  }
}

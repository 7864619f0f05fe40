import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createMachine, type Machine } from "../../../emulator/machine/machine.ts";
import type { MachineEnd, MachineHost } from "../../../emulator/machine/machine-options.ts";
import { ok, type Failure, type Outcome } from "../../../emulator/protocol/failure.ts";
import type { Stall } from "../../../emulator/protocol/machine-messages.ts";
import { models } from "../../../emulator/cpu/models.ts";
import { ProcessorName } from "../../../emulator/protocol/processor.ts";
import type { BlockDevice } from "../../../emulator/storage/block-device.ts";
import { GuestProgram } from "../../support/guest-program.ts";

const CORE = "build/wasm/cpu-plain.wasm";
const core = existsSync(CORE) ? new WebAssembly.Module(readFileSync(CORE)) : undefined;
/** A host whose time passes by the look at its clock: 20 µs; by turns: 1 ms; and by sleeps that have an end. */
class StillHost implements MachineHost {
  ns = 0;
  readonly sleeps: number[] = [];
  nowNs(): number {
    return (this.ns += 20_000);
  }
  async yieldToHost(): Promise<void> {
    this.ns += 1_000_000;
    await new Promise((resolve) => setImmediate(resolve));
  }
  sleep(ms: number): { done: Promise<void>; wake: () => void } {
    this.sleeps.push(ms);
    let wake!: () => void;
    const done = new Promise<void>((resolve) => (wake = resolve));
    if (ms !== Infinity)
      setImmediate(() => {
        this.ns += ms * 1e6;
        wake();
      });
    return { done, wake };
  }
  random32(): number {
    return 4;
  }
}

interface Bench {
  readonly machine: Machine;
  readonly host: StillHost;
  readonly states: string[];
  readonly stalls: (Stall | null)[];
  readonly failures: Failure[];
  readonly said: () => string;
  readonly end: Promise<MachineEnd>;
}

async function boot(
  program: { readonly kernel: Uint8Array },
  {
    disks = [],
    onGuestReset = "end",
    processor,
  }: { disks?: BlockDevice[]; onGuestReset?: "boot" | "end"; processor?: ProcessorName } = {},
): Promise<Bench> {
  const host = new StillHost();
  const states: string[] = [];
  const stalls: (Stall | null)[] = [];
  const failures: Failure[] = [];
  let said = "";
  const created = createMachine({
    module: core!,
    shared: false,
    memoryMiB: 32,
    ...(processor && { processor }),
    disks,
    loadBootFiles: async () => ok({ kernel: program.kernel }),
    commandLine: "",
    wallClockMs: 0,
    onGuestReset,
    host,
    events: {
      state: (state) => states.push(state),
      serial: (bytes) => (said += new TextDecoder().decode(bytes)),
      stalled: (stall) => stalls.push(stall),
      failed: (failure) => failures.push(failure),
    },
  });
  if (!created.ok) throw new Error(created.failure.code);
  await created.value.start();
  return {
    machine: created.value,
    host,
    states,
    stalls,
    failures,
    said: () => said,
    end: created.value.done,
  };
}

class ScriptedDisk implements BlockDevice {
  readonly sizeBytes = 1 << 20;
  readonly readOnly = false;
  readonly #answers: (() => Promise<Outcome<Uint8Array>>)[];
  reads = 0;
  constructor(...answers: (() => Promise<Outcome<Uint8Array>>)[]) {
    this.#answers = answers;
  }
  read(_offset: number, _length: number): Promise<Outcome<Uint8Array>> {
    return this.#answers[this.reads++]!();
  }
  async write(): Promise<Outcome<null>> {
    return ok(null);
  }
  async flush(): Promise<Outcome<null>> {
    return ok(null);
  }
  async discard(): Promise<Outcome<null>> {
    return ok(null);
  }
}
const sector = new Uint8Array(512);
sector.set(new TextEncoder().encode("data"));
const offline: Failure = { code: "offline", what: "chunk" };
const until = async (done: () => boolean): Promise<void> => {
  for (let i = 0; i < 10_000 && !done(); i++) await new Promise((resolve) => setImmediate(resolve));
  expect(done()).toBe(true);
};

describe.skipIf(!core)(`a machine (${CORE} is built)`, () => {
  test("a guest prints and turns itself off", async () => {
    const { end, said, states, machine } = await boot(new GuestProgram().print("hello").powerOff());
    expect([await end, said(), states]).toEqual([{ reason: "power-off" }, "hello", ["running", "off"]]);
    expect(machine.stats().instructions).toBeGreaterThan(15);
  });

  test("a halted guest sleeps until it is woken, and uses no instructions", async () => {
    const { end, host, machine } = await boot(new GuestProgram().halt());
    await until(() => host.sleeps.length > 0);
    const { instructions } = machine.stats();
    machine.wake();
    await until(() => host.sleeps.length > 1);
    expect([host.sleeps[0], machine.stats().instructions - instructions < 10]).toEqual([Infinity, true]);
    machine.powerOff();
    expect(await end).toEqual({ reason: "power-off" });
  });

  test("a paused guest does not run and its clock stands", async () => {
    const { end, host, machine, states } = await boot(new GuestProgram().raw(0xeb, 0xfe));
    await until(() => machine.stats().instructions > 200_000);
    machine.pause();
    await until(() => states.at(-1) === "paused");
    const [before, guestMs] = [machine.stats().instructions, machine.stats().guestMs];
    host.ns += 5e9;
    expect([machine.stats().instructions, machine.stats().guestMs]).toEqual([before, guestMs]);
    machine.resume();
    await until(() => machine.stats().instructions > before);
    expect(machine.stats().guestMs - guestMs).toBeLessThan(1000);
    machine.powerOff();
    await end;
  });

  for (const [how, program] of Object.entries({
    "the keyboard controller": new GuestProgram().print("x").out(0x64, 0xfe).halt(),
    "port CF9": new GuestProgram().print("x").out(0xcf9, 0x06).halt(),
    "port 92": new GuestProgram().print("x").out(0x92, 0x01).halt(),
  })) {
    test(`a reset by ${how} ends a machine that is told so, or boots again`, async () => {
      expect(await (await boot(program)).end).toEqual({ reason: "reset" });
      const again = await boot(program, { onGuestReset: "boot" });
      await until(() => again.said().length >= 3);
      again.machine.powerOff();
      expect(await again.end).toEqual({ reason: "power-off" });
    });
  }

  test("a triple fault right after power-on is a crash in words", async () => {
    const { end, failures } = await boot(new GuestProgram().raw(0x0f, 0x0b));
    expect(await end).toMatchObject({ reason: "failed", failure: { code: "guest-crashed" } });
    expect(failures.length).toBe(1);
  });

  test("a kernel that is none fails before anything runs", async () => {
    const program = { kernel: new TextEncoder().encode("no kernel".repeat(100)) };
    const { end } = await boot(program);
    expect(await end).toMatchObject({ reason: "failed", failure: { code: "bad-image" } });
  });

  test("a 32-bit kernel starts on every processor, with EBX, EBP and EDI zero and ESI at its parameters", async () => {
    // lea eax, [ebx+ebp]; add eax, edi; add al, "0"; then the boot protocol's byte 1FEh, which is 55h.
    const program = new GuestProgram().raw(0x8d, 0x04, 0x2b, 0x01, 0xf8, 0x04, 0x30);
    program.raw(0xba, 0xf8, 3, 0, 0, 0xee, 0x8a, 0x86, 0xfe, 1, 0, 0, 0xee).powerOff();
    for (const processor of ProcessorName.options) {
      const { end, said } = await boot({ kernel: program.kernel32 }, { processor });
      expect([await end, said()], processor).toEqual([{ reason: "power-off" }, "0U"]);
    }
  });

  test("a local APIC answers where the processor has one", async () => {
    // mov eax, [FEE00030h]; and al, 7Fh; mov edx, 3F8h; out dx, al: the APIC's version.
    const program = new GuestProgram()
      .raw(0xa1, 0x30, 0, 0xe0, 0xfe, 0x24, 0x7f, 0xba, 0xf8, 3, 0, 0, 0xee)
      .powerOff();
    for (const processor of ProcessorName.options) {
      const { end, said } = await boot({ kernel: program.kernel32 }, { processor });
      expect(await end).toEqual({ reason: "power-off" });
      expect(said().charCodeAt(0), processor).toBe(models[processor].features.includes("apic") ? 0x14 : 0x7f);
    }
  });

  test("a guest asks its firmware: an SMI by port B2h runs the handler, and RSM goes on behind the OUT", async () => {
    const program = new GuestProgram();
    // At 38000h in 16-bit code: mov dx, 3F8h; mov al, "s"; out dx, al; rsm.
    program.store(0x38000, 0xb003f8ba).store(0x38004, 0xaa0fee73);
    // DEVACTB of function 3 of the ISA bridge.
    program
      .print("a")
      .out(0xb2, 1)
      .out(0xcf8, 0x80000b58, 4)
      .out(0xcfc, 1 << 25, 4);
    const { end, said } = await boot(program.print("b").out(0xb2, 1).print("c").powerOff());
    expect([await end, said()]).toEqual([{ reason: "power-off" }, "absc"]);
  });

  test("port 92h and the keyboard controller close and open address bit 20", async () => {
    const program = new GuestProgram().store(0x700, 0x41);
    const look = (): GuestProgram => program.printBytes(0x10_0700, 1).print(" ");
    look();
    program.out(0x92, 0);
    look();
    program.out(0x92, 2);
    look();
    program.out(0x64, 0xd1).out(0x60, 0xdd);
    look();
    program.out(0x64, 0xd1).out(0x60, 0xdf);
    const { end, said } = await boot(look().powerOff());
    expect([await end, said()]).toEqual([{ reason: "power-off" }, "\0 A \0 A \0 "]);
  });

  test("a 64-bit kernel on a processor of 32 bits is refused in words", async () => {
    const { end } = await boot(new GuestProgram().powerOff(), { processor: "pentium3" });
    const failure = { code: "unsupported", feature: "64-bit Linux on a processor pentium3" };
    expect(await end).toEqual({ reason: "failed", failure });
  });

  test("a disk read arrives in guest memory", async () => {
    const disk = new ScriptedDisk(async () => ok(sector));
    const { end, said, stalls, machine } = await boot(
      new GuestProgram().readSector(3).printBytes(0x100_a000, 4).powerOff(),
      { disks: [disk] },
    );
    expect([await end, said(), stalls, machine.stats().diskReads]).toEqual([
      { reason: "power-off" },
      "data",
      [],
      1,
    ]);
  });

  test("a read that is late stops the guest and its clock, and says so", async () => {
    let answer!: (outcome: Outcome<Uint8Array>) => void;
    const disk = new ScriptedDisk(() => new Promise((resolve) => (answer = resolve)));
    const { end, host, said, stalls, machine } = await boot(
      new GuestProgram().readSector(3).printBytes(0x100_a000, 4).powerOff(),
      { disks: [disk] },
    );
    await until(() => stalls.length === 1);
    const { instructions, guestMs } = machine.stats();
    host.ns += 60e9;
    expect([machine.stats().instructions, machine.stats().guestMs]).toEqual([instructions, guestMs]);
    answer(ok(sector));
    expect([await end, said(), stalls]).toEqual([
      { reason: "power-off" },
      "data",
      [{ on: "disk", sinceMs: expect.any(Number), offset: 1536 }, null],
    ]);
    expect([guestMs < 100, machine.stats().guestMs < 100, machine.stats().stalledMs >= 60_000]).toEqual([
      true,
      true,
      true,
    ]);
  });

  test("a read that fails pauses the machine with the failure, and resume asks again", async () => {
    const disk = new ScriptedDisk(
      async () => ({ ok: false, failure: offline }),
      async () => Promise.reject(new Error("broken")),
      async () => ok(sector.subarray(0, 100)),
      async () => ok(sector),
    );
    const { end, said, states, failures, machine } = await boot(
      new GuestProgram().readSector(3).printBytes(0x100_a000, 4).powerOff(),
      { disks: [disk] },
    );
    for (let tries = 1; tries <= 3; tries++) {
      await until(() => failures.length === tries && states.at(-1) === "paused");
      expect(said()).toBe("");
      machine.resume();
    }
    expect([await end, said(), failures.map(({ code }) => code)]).toEqual([
      { reason: "power-off" },
      "data",
      ["offline", "internal", "corrupt"],
    ]);
  });

  test("deterministic time: the same guest takes the same instructions", async () => {
    const run = async (): Promise<number> => {
      const created = createMachine({
        module: core!,
        shared: false,
        memoryMiB: 32,
        disks: [],
        loadBootFiles: async () =>
          ok({
            kernel: new GuestProgram()
              .spin(300_000)
              .out(0x43, 0x34)
              .out(0x40, 0)
              .out(0x40, 1)
              .spin(50_000)
              .powerOff().kernel,
          }),
        commandLine: "",
        wallClockMs: 0,
        nsPerInstruction: 10,
        host: new StillHost(),
        events: { state: () => {}, serial: () => {}, failed: () => {} },
      });
      if (!created.ok) throw new Error(created.failure.code);
      await created.value.start();
      await created.value.done;
      return created.value.stats().instructions;
    };
    expect(await run()).toBe(await run());
  });
});

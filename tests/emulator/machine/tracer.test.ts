import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createMachine } from "../../../emulator/machine/machine.ts";
import { Tracer } from "../../../emulator/machine/tracer.ts";
import { ok } from "../../../emulator/protocol/failure.ts";
import { nodeHost } from "../../../infra/headless/node-host.ts";
import { GuestProgram } from "../../support/guest-program.ts";

const CORE = "build/wasm/cpu-plain.wasm";
const core = existsSync(CORE) ? new WebAssembly.Module(readFileSync(CORE)) : undefined;

/** Runs a program to its end under a trace. */
async function trace(program: GuestProgram, from: number, count: number) {
  const lines: string[] = [];
  const logs: string[] = [];
  let ended = 0;
  const tracer = new Tracer({ from, count, line: (text) => lines.push(text), end: () => ended++ });
  const created = createMachine({
    module: core!,
    shared: false,
    memoryMiB: 32,
    disks: [],
    loadBootFiles: async () => ok({ kernel: program.kernel }),
    commandLine: "",
    wallClockMs: 0,
    nsPerInstruction: 10,
    runSlice: tracer.runSlice.bind(tracer),
    host: nodeHost(),
    events: { state: () => {}, serial: () => {}, failed: () => {}, log: (_, message) => logs.push(message) },
  });
  if (!created.ok) throw new Error(created.failure.code);
  await created.value.start();
  const end = await created.value.done;
  return { lines, logs, ended, end };
}

describe.skipIf(!core)(`a trace (${CORE} is built)`, () => {
  test("has a line for each instruction, with what it changed", async () => {
    // mov eax, 5; sub eax, 5; push rax; fninit; fld1
    const program = new GuestProgram().raw(0xb8, 5, 0, 0, 0, 0x83, 0xe8, 5, 0x50, 0xdb, 0xe3, 0xd9, 0xe8);
    const { lines, ended } = await trace(program.powerOff(), 0, 5);
    expect(lines.map((line) => line.replaceAll(/ {2,}/g, " "))).toEqual([
      "0 0010:0000000001000000 b8 05 00 00 00 mov eax, 0x5 rax=5",
      "1 0010:0000000001000005 83 e8 05 sub eax, 0x5 rax=0 rflags=46",
      "2 0010:0000000001000008 50 push rax rsp=eff8",
      expect.stringMatching(/^3 0010:0000000001000009 db e3 fninit/),
      "4 0010:000000000100000b d9 e8 fld1 st0=3fff8000000000000000 fstat=3800",
    ]);
    expect(ended).toBe(1);
  });

  test("begins at an exact count, ends after another, and lets the machine go on", async () => {
    const { lines, end } = await trace(new GuestProgram().spin(5000).powerOff(), 4001, 3);
    expect(lines.map((line) => line.split(" ")[0])).toEqual(["4001", "4002", "4003"]);
    expect(lines[0]).toMatch(/dec ecx +rcx=/);
    expect(end).toEqual({ reason: "power-off" });
  });

  test("says an interrupt where it comes", async () => {
    // An IDT with one gate, for the vector that the PIC gives to IRQ 0, which a one-shot of the PIT raises.
    const program = new GuestProgram();
    const gate = 0x110_0000;
    program.out(0x20, 0x11).out(0x21, 0x20).out(0x21, 4).out(0x21, 1).out(0x21, 0xfe).out(0xa1, 0xff);
    // The handler is a jump to itself at 1200000h: EB FE.
    program.store(0x120_0000, 0xfeeb, 2);
    program
      .store(gate + 0x200, 0x0010_0000)
      .store(gate + 0x204, 0x0120_8e00)
      .store(gate + 0x208, 0);
    program.store(0x110_1000, 0x0fff, 2).store(0x110_1002, gate).store(0x110_1006, 0);
    // lidt [1101000h]; PIT channel 0, mode 0, 100 ticks; sti; jmp $
    program.raw(0x0f, 0x01, 0x1c, 0x25, 0x00, 0x10, 0x10, 0x01);
    program.out(0x43, 0x30).out(0x40, 100).out(0x40, 0);
    program.raw(0xfb, 0xeb, 0xfe);
    const seen = await firstLines(program, 40_000);
    const at = seen.indexOf("-- interrupt");
    expect(at).toBeGreaterThan(0);
    expect(seen[at - 1]).toMatch(/eb fe +jmp/);
    expect(seen[at + 1]).toMatch(/0010:0000000001200000 eb fe/);
  });

  test("of a crash is not needed to see its instruction", async () => {
    const { logs, end } = await trace(new GuestProgram().raw(0x0f, 0x0b), 0, 0);
    expect(logs[0]).toMatch(/^triple fault at 1000000 \(0f 0b {2}ud2\) after 0 instructions/);
    expect(end).toMatchObject({ failure: { code: "guest-crashed" } });
  });
});

/** The first lines of a program that does not end by itself. */
async function firstLines(program: GuestProgram, count: number): Promise<string[]> {
  const lines: string[] = [];
  const tracer = new Tracer({
    from: 0,
    count,
    line: (text) => lines.push(text),
    end: () => created.ok && created.value.powerOff(),
  });
  const created = createMachine({
    module: core!,
    shared: false,
    memoryMiB: 32,
    disks: [],
    loadBootFiles: async () => ok({ kernel: program.kernel }),
    commandLine: "",
    wallClockMs: 0,
    nsPerInstruction: 10,
    runSlice: tracer.runSlice.bind(tracer),
    host: nodeHost(),
    events: { state: () => {}, serial: () => {}, failed: () => {} },
  });
  if (!created.ok) throw new Error(created.failure.code);
  await created.value.start();
  await created.value.done;
  return lines;
}

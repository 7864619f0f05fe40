/**
 * The same programs on v86 in Node. A start-up ROM of our own enters flat 32-bit protected mode and runs a driver in RAM,
 * which tells the serial port after each round; the host keeps the clock outside of rounds and prepares the next one.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { V86 } from "v86";
import { Assembler } from "../../support/assembler.ts";
import { CODE, DATA, END, type Program, STACK } from "./programs.ts";
import { cpuSeconds } from "./timing.ts";

const RET = 0xc3;
/** Where the ROM jumps when it has set up a flat segment and a stack. */
export const DRIVER = 0x10000;
const COM1 = 0x3f8;
const ROM_BYTES = 0x10000;
const ROM = 0xf0000;

/** 64 KiB whose last 16 bytes are where the processor starts (SDM 3A §10.1.4), and a GDT of two flat descriptors. */
export function startupRom(): Uint8Array {
  const rom = new Uint8Array(ROM_BYTES).fill(0xf4);
  const gdt = 0x100;
  const descriptors = [0n, 0x00cf9b000000ffffn, 0x00cf93000000ffffn];
  const view = new DataView(rom.buffer);
  descriptors.forEach((value, index) => view.setBigUint64(gdt + 8 * index, value, true));
  view.setUint16(0x80, 8 * descriptors.length - 1, true);
  view.setUint32(0x82, ROM + gdt, true);
  // CLI; LGDT CS:[0x80]; MOV EAX, CR0; OR AL, 1; MOV CR0, EAX; JMP far 08:flat
  const flat = ROM + 0x40;
  rom.set(
    [0xfa, 0x2e, 0x66, 0x0f, 0x01, 0x16, 0x80, 0x00, 0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0],
    0,
  );
  rom.set([0x66, 0xea, flat & 255, (flat >> 8) & 255, (flat >> 16) & 255, 0, 0x08, 0x00], 16);
  // MOV AX, 0x10; MOV DS, ES, SS, FS, GS from AX
  const a = new Assembler(flat, 32)
    .bytes(0x66, 0xb8, 0x10, 0x00)
    .bytes(0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x8e, 0xe0, 0x8e, 0xe8)
    .mov("esp", STACK)
    .mov("eax", DRIVER)
    .bytes(0xff, 0xe0);
  rom.set(a.code(), 0x40);
  // JMP far F000:0000
  rom.set([0xea, 0x00, 0x00, 0x00, 0xf0], ROM_BYTES - 16);
  return rom;
}

/** Registers, the program, a byte to COM1, again. */
function driver(program: Program, entry: number): Uint8Array {
  const a = new Assembler(DRIVER, 32).label("round");
  for (const [name, value] of Object.entries(program.registers)) a.mov(name.replace(/^r/, "e"), value);
  // CALL to an absolute place: a relative distance from here.
  const distance = entry - (a.here + 5);
  a.bytes(0xe8, ...Array.from({ length: 4 }, (_, k) => (distance >> (8 * k)) & 255));
  return a.mov("edx", COM1).bytes(0xee).jmp("round").code();
}

interface Peer {
  /** CPU seconds of one round: the median of `samples` spans of at least `spanSeconds`. */
  secondsPerRound(program: Program): Promise<number>;
  stop(): Promise<void>;
}

/** `jit` off: v86's interpreter alone. */
export async function startV86(jit: boolean): Promise<Peer> {
  const wasm = join(dirname(createRequire(import.meta.url).resolve("v86")), "v86.wasm");
  const rom = startupRom();
  let onRound = (): void => {};
  const emulator = new V86({
    wasm_path: wasm,
    memory_size: 32 << 20,
    vga_memory_size: 1 << 20,
    bios: { buffer: rom.buffer as ArrayBuffer },
    autostart: false,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    disable_jit: !jit,
  });
  emulator.add_listener("serial0-output-byte", () => onRound());
  await new Promise<void>((resolve) => emulator.add_listener("emulator-loaded", () => resolve()));

  const memory = new Uint8Array(END);
  function prepare(program: Program): void {
    const a = new Assembler(CODE, 32, RET);
    program.write(a);
    memory.fill(0, DATA, END);
    program.prepare?.(new DataView(memory.buffer), a);
    emulator.write_memory(a.code(), CODE);
    emulator.write_memory(memory.subarray(DATA, END), DATA);
  }

  return {
    async secondsPerRound(program) {
      prepare(program);
      emulator.write_memory(driver(program, CODE), DRIVER);
      const spans: number[] = [];
      await new Promise<void>((resolve) => {
        let rounds = 0;
        let spent = 0;
        let since = cpuSeconds();
        onRound = () => {
          spent += cpuSeconds() - since;
          rounds++;
          // The first span warms up.
          if (spent >= SPAN_SECONDS) {
            spans.push(spent / rounds);
            rounds = spent = 0;
          }
          if (spans.length > SAMPLES) {
            onRound = () => {};
            void emulator.stop().then(resolve);
            return;
          }
          if (program.prepare) prepare(program);
          since = cpuSeconds();
        };
        emulator.restart();
        void emulator.run();
      });
      return spans.slice(1).sort((x, y) => x - y)[SAMPLES >> 1]!;
    },
    async stop() {
      await emulator.destroy();
    },
  };
}

const SPAN_SECONDS = 0.15;
const SAMPLES = 5;

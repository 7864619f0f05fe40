/** blink's test/asm: freestanding Linux programs of a few instructions each, which end in exit_group(0) or in INT3. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { at } from "../support/cpu-bench.ts";
import { UserMachine } from "../support/user-machine.ts";
import { type Suite, Tally } from "./suite.ts";

const STACK = 0x7fff_0000n;
const LIMIT = 50_000_000;
const EXIT_GROUP = 231n,
  WRITE = 1n;

/** EBADF, as the kernel returns it. */
const BAD_FILE = (1n << 64n) - 9n;
const isOpen = (descriptor: bigint): boolean => descriptor === 1n || descriptor === 2n;

/** Maps the PT_LOAD segments of a static ELF64 program; its entry point. */
function load(machine: UserMachine, file: Uint8Array): bigint {
  const elf = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const table = Number(elf.getBigUint64(32, true)),
    step = elf.getUint16(54, true),
    count = elf.getUint16(56, true);
  for (let place = table; place < table + step * count; place += step) {
    if (elf.getUint32(place, true) !== 1) continue;
    const offset = Number(elf.getBigUint64(place + 8, true)),
      linear = elf.getBigUint64(place + 16, true),
      inFile = Number(elf.getBigUint64(place + 32, true));
    machine.map(linear, Number(elf.getBigUint64(place + 40, true)));
    machine.write(linear, file.subarray(offset, offset + inFile));
  }
  return elf.getBigUint64(24, true);
}

/** Runs a program whose only system calls are write, which is answered, and exit_group, which ends it. */
function judge(machine: UserMachine, file: Uint8Array): string[] {
  machine.clear();
  const { view } = machine.cpu;
  const entry = load(machine, file);
  machine.map(STACK - 0x8000n, 0x9000);
  // argc, argv, envp and the auxiliary vector: all empty.
  view.setBigUint64(at("GPR") + 32, STACK, true);
  let rip = entry;
  for (let calls = 0; calls < 100; calls++) {
    const end = machine.run(64, rip, LIMIT, calls > 0);
    if (end.vector !== 6 || machine.byte(end.rip) !== 0x0f || machine.byte(end.rip + 1n) !== 5)
      return [end.vector < 0 ? "no end" : `exception ${end.vector} at ${end.rip.toString(16)}`];
    const register = (n: number): bigint => view.getBigUint64(at("GPR") + 8 * n, true);
    const call = register(0) & 0xffffffffn;
    if (call === EXIT_GROUP) return register(7) === 0n ? [] : [`exit status ${register(7)}`];
    if (call !== WRITE) return [`system call ${call}`];
    // SYSCALL leaves the return address in RCX and the flags in R11.
    view.setBigUint64(at("GPR"), isOpen(register(7)) ? register(2) : BAD_FILE, true);
    view.setBigUint64(at("GPR") + 8, end.rip + 2n, true);
    view.setBigUint64(at("GPR") + 8 * 11, end.flags, true);
    view.setBigUint64(at("GPR") + 32, end.rsp, true);
    rip = end.rip + 2n;
  }
  return ["too many system calls"];
}

const about = { name: "blink-asm", origin: "repository jart/blink, f006a4f (2025-12-10)" };
const asm: Suite = {
  ...about,
  folder: "blink/asm",
  run(folder) {
    const tally = new Tally();
    if (!folder || !existsSync(folder)) {
      tally.skip("the suite is absent");
      return tally.result(about);
    }
    const machine = new UserMachine(32);
    for (const name of readdirSync(folder).filter((file) => file.endsWith(".elf")))
      tally.judge(name.replace(".elf", ""), judge(machine, readFileSync(join(folder, name))));
    return tally.result(about);
  },
};

export const blinkSuites: readonly Suite[] = [asm];

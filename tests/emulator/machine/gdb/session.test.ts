/** Dialogues with the GDB stub over a machine that runs a few instructions. */
import { existsSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Debugger } from "../../../../emulator/machine/debugger.ts";
import { packet, PacketReader } from "../../../../emulator/machine/gdb/packets.ts";
import { GdbSession } from "../../../../emulator/machine/gdb/session.ts";
import type { Machine } from "../../../../emulator/machine/machine.ts";
import { GuestProgram } from "../../../support/guest-program.ts";
import { pausedMachine } from "../../../support/paused-machine.ts";

const CORE = "build/wasm/cpu-plain.wasm";
const core = existsSync(CORE) ? new WebAssembly.Module(readFileSync(CORE)) : undefined;
/** Where a GuestProgram begins. */
const ENTRY = 0x100_0000;

class Dialogue {
  readonly machine: Machine;
  readonly session: GdbSession;
  readonly #reader = new PacketReader();
  #heard: string[] = [];
  #hearing: (() => void) | undefined;
  closed = false;
  acknowledged = 0;

  constructor(machine: Machine) {
    this.machine = machine;
    this.session = new GdbSession(new Debugger(machine), {
      send: (bytes) => this.#hear(bytes),
      close: () => (this.closed = true),
    });
  }

  #hear(bytes: Uint8Array): void {
    for (const event of this.#reader.read(bytes)) {
      if (event.kind === "acknowledged") this.acknowledged++;
      if (event.kind === "packet") this.#heard.push(String.fromCharCode(...event.data));
    }
    if (this.#heard.length > 0) this.#hearing?.();
  }

  async reply(): Promise<string> {
    while (this.#heard.length === 0) await new Promise<void>((resolve) => (this.#hearing = resolve));
    return this.#heard.shift()!;
  }
  ask(text: string): Promise<string> {
    this.session.receive(packet(text));
    return this.reply();
  }
  async monitor(command: string): Promise<string> {
    return Buffer.from(await this.ask(`qRcmd,${Buffer.from(command).toString("hex")}`), "hex").toString();
  }
}

const begin = async (program: GuestProgram): Promise<Dialogue> =>
  new Dialogue(await pausedMachine(core!, program));

/** mov eax, 1; inc eax; mov [1100000h], eax; jmp to inc. */
const counting = (): GuestProgram =>
  new GuestProgram().raw(0xb8, 1, 0, 0, 0, 0xff, 0xc0, 0x89, 0x04, 0x25, 0, 0, 0x10, 0x01, 0xeb, 0xf5);
const hex = (address: number): string => address.toString(16);

describe.skipIf(!core)(`the GDB stub (${CORE} is built)`, () => {
  test("says what it can do, what it is, and where the machine stands", async () => {
    const gdb = await begin(counting());
    expect(await gdb.ask("qSupported:xmlRegisters=i386;swbreak+")).toBe(
      "PacketSize=4000;QStartNoAckMode+;qXfer:features:read+;vContSupported+;swbreak+;hwbreak+",
    );
    expect(gdb.acknowledged).toBe(1);
    expect(await gdb.ask("QStartNoAckMode")).toBe("OK");
    const xml = await gdb.ask("qXfer:features:read:target.xml:0,2000");
    expect(xml).toMatch(/^l<\?xml[\s\S]*i386:x86-64[\s\S]*name="rip"[\s\S]*<\/target>$/);
    expect(await gdb.ask("qXfer:features:read:target.xml:0,10")).toBe(xml.replace(/^l/, "m").slice(0, 17));
    expect(gdb.acknowledged).toBe(2);
    expect(await gdb.ask("?")).toBe("T02thread:1;");
    expect([await gdb.ask("qfThreadInfo"), await gdb.ask("qsThreadInfo"), await gdb.ask("qC")]).toEqual([
      "m1",
      "l",
      "QC1",
    ]);
    expect(await gdb.ask("vMustReplyEmpty")).toBe("");
  });

  test("reads and writes every register, alone and together", async () => {
    const gdb = await begin(counting());
    const all = await gdb.ask("g");
    const rip = all.slice(16 * 16, 17 * 16);
    expect(rip).toBe("0000000100000000");
    expect(await gdb.ask("p10")).toBe(rip);
    // A register that says its number, of those that hold whatever is written: RAX to R15, XMM0 to XMM15, upper halves.
    const values: [number, string][] = [
      ...Array(16).keys(),
      ...Array.from({ length: 16 }, (_, i) => 40 + i),
    ].map((number) => [
      number,
      hex(number + 16)
        .padStart(2, "0")
        .repeat(number < 16 ? 8 : 16),
    ]);
    for (const [number, value] of values) expect(await gdb.ask(`P${hex(number)}=${value}`)).toBe("OK");
    for (const [number, value] of values) expect(await gdb.ask(`p${hex(number)}`)).toBe(value);
    // ST0 is pi.
    expect(await gdb.ask("P18=35c26821a2da0fc90040")).toBe("OK");
    expect(await gdb.ask("p18")).toBe("35c26821a2da0fc90040");
    expect(await gdb.ask(`G${all}`)).toBe("OK");
    expect(await gdb.ask("g")).toBe(all);
    expect([await gdb.ask("pff"), await gdb.ask("P0=00"), await gdb.ask("Pzz=00")]).toEqual([
      "E16",
      "E16",
      "E16",
    ]);
  });

  test("reads and writes memory by linear address, as far as there is any", async () => {
    const gdb = await begin(counting());
    expect(await gdb.ask(`m${hex(ENTRY)},7`)).toBe("b801000000ffc0");
    expect(await gdb.ask("M1200000,3:a1b2c3")).toBe("OK");
    gdb.session.receive(packet("X1200003,2:}\x24"));
    expect(await gdb.reply()).toBe("OK");
    expect(await gdb.ask("m1200000,5")).toBe("a1b2c37d24");
    // RAM ends at 32 MiB.
    expect(await gdb.ask("m1fffffe,4")).toBe("0000");
    expect(await gdb.ask("m2000000,4")).toBe("E0e");
    expect(await gdb.ask("M1fffffe,4:00000000")).toBe("E0e");
    expect(await gdb.ask("mffff800000000000,1")).toBe("E0e");
    expect([await gdb.ask("m1"), await gdb.ask("M1,2:00"), await gdb.ask("m1,zz")]).toEqual([
      "E16",
      "E16",
      "E16",
    ]);
    expect(await gdb.monitor("read 1200000 5")).toBe("01200000: a1 b2 c3 7d 24\n");
    expect(await gdb.monitor("write 0x1200000 77")).toBe("");
    expect(await gdb.ask("m1200000,1")).toBe("77");
    expect(await gdb.monitor("translate 1200000")).toBe("0x1200000\n");
    expect(await gdb.monitor("read f0000000")).toBe("That is not RAM.\n");
    expect(await gdb.monitor("dance")).toMatch(/^read PHYSICAL/);
    expect(await gdb.monitor("system")).toMatch(/cr0 +0x80010031\n[\s\S]*cpl +0/);
  });

  test("steps, and stops at breakpoints of both kinds", async () => {
    const gdb = await begin(counting());
    expect(await gdb.ask("s")).toBe("T05thread:1;");
    expect(await gdb.ask("p10")).toBe("0500000100000000");
    expect(await gdb.ask(`Z0,${hex(ENTRY + 14)},1`)).toBe("OK");
    expect(await gdb.ask("c")).toBe("T05swbreak:;thread:1;");
    expect(await gdb.ask("vCont;c:1")).toBe("T05swbreak:;thread:1;");
    expect(await gdb.ask("p0")).toBe("0300000000000000");
    expect(await gdb.ask(`z0,${hex(ENTRY + 14)},1`)).toBe("OK");
    expect(await gdb.ask(`Z1,${hex(ENTRY + 5)},1`)).toBe("OK");
    expect(await gdb.ask("vCont;c")).toBe("T05hwbreak:;thread:1;");
    expect(await gdb.ask("p10")).toBe("0500000100000000");
    expect(await gdb.ask(`m${hex(ENTRY + 5)},2`)).toBe("ffc0");
    expect(await gdb.ask("vCont;s:1;c")).toBe("T05thread:1;");
  });

  test("stops behind the access that hits a watchpoint, and says where", async () => {
    const gdb = await begin(counting());
    expect(await gdb.ask("Z2,1100002,4")).toBe("OK");
    expect(await gdb.ask("c")).toBe("T05watch:1100002;thread:1;");
    expect(await gdb.ask("p10")).toBe(`${hex(0x0e).padStart(2, "0")}00000100000000`);
    expect([await gdb.ask("z2,1100002,4"), await gdb.ask("Z4,1100000,1")]).toEqual(["OK", "OK"]);
    expect(await gdb.ask("c")).toBe("T05awatch:1100000;thread:1;");
    expect([await gdb.ask("z4,1100000,1"), await gdb.ask("Z3,1100000,1")]).toEqual(["OK", "OK"]);
    expect(await gdb.ask("Z2,1100000,0")).toBe("E16");
    expect(await gdb.ask("Z5,0,1")).toBe("");
    // Only stores are there: nothing reads.
    gdb.session.receive(packet("c"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    gdb.session.receive(Uint8Array.of(3));
    expect(await gdb.reply()).toBe("T02thread:1;");
  });

  test("keeps a bound of points", async () => {
    const gdb = await begin(counting());
    for (let i = 0; i < 256; i++) expect(await gdb.ask(`Z0,${hex(i)},1`)).toBe("OK");
    expect(await gdb.ask("Z1,5000,1")).toBe("E1c");
    expect(await gdb.ask("Z0,5,1")).toBe("OK");
    for (let i = 0; i < 32; i++) expect(await gdb.ask(`Z2,${hex(i * 8)},8`)).toBe("OK");
    expect(await gdb.ask("Z3,5000,1")).toBe("E1c");
  });

  test("can be interrupted at once, and asked again while the machine runs", async () => {
    const gdb = await begin(counting());
    gdb.session.receive(packet("c"));
    gdb.session.receive(Uint8Array.of(3));
    expect(await gdb.reply()).toBe("T02thread:1;");
    gdb.session.receive(packet("c"));
    gdb.session.receive(packet("qC"));
    gdb.session.receive(Uint8Array.of(3));
    expect([await gdb.reply(), await gdb.reply()]).toEqual(["T02thread:1;", "QC1"]);
    gdb.session.receive(packet("c"));
    for (let i = 0; i < 65; i++) gdb.session.receive(packet("qC"));
    expect(gdb.closed).toBe(true);
    gdb.machine.powerOff();
  });

  test("lets the machine go on when GDB leaves, and ends it when GDB kills", async () => {
    const left = await begin(counting());
    expect(await left.ask("Z0,1000005,1")).toBe("OK");
    expect(await left.ask("c")).toMatch(/^T05/);
    left.session.disconnected();
    const before = left.machine.stats().instructions;
    while (left.machine.stats().instructions < before + 100_000)
      await new Promise((resolve) => setImmediate(resolve));
    left.machine.powerOff();
    const detached = await begin(new GuestProgram().powerOff());
    expect(await detached.ask("D")).toBe("OK");
    expect(await detached.machine.done).toEqual({ reason: "power-off" });
    const killed = await begin(counting());
    killed.session.receive(packet("k"));
    expect(await killed.machine.done).toEqual({ reason: "power-off" });
  });

  test("says how the machine ended", async () => {
    const off = await begin(new GuestProgram().powerOff());
    expect(await off.ask("c")).toBe("W00");
    const crashed = await begin(new GuestProgram().raw(0x0f, 0x0b));
    expect(await crashed.ask("c")).toBe("X06");
  });

  test("repeats a reply that was lost, and asks for a packet that came damaged", async () => {
    const gdb = await begin(counting());
    const first = await gdb.ask("qC");
    gdb.session.receive(Uint8Array.from("-", (character) => character.charCodeAt(0)));
    expect(await gdb.reply()).toBe(first);
    let sent = "";
    const session = new GdbSession(new Debugger(gdb.machine), {
      send: (bytes) => (sent += String.fromCharCode(...bytes)),
      close: () => {},
    });
    session.receive(Uint8Array.from("$qC#00", (character) => character.charCodeAt(0)));
    expect(sent).toBe("-");
  });

  test("survives any packet", async () => {
    const gdb = await begin(counting());
    const letters = fc.constantFrom(...Array.from("gGpPmMXZzHTqQv!?abdefhijlnrtwxyABEFIJKLNORSUVWY"));
    const rest = fc.stringMatching(/^[0-9a-f,;:=]{0,40}$/);
    await fc.assert(
      fc.asyncProperty(letters, rest, async (letter, words) => {
        const text = letter + words;
        fc.pre(!/^[sS]|^vCont;[cs]|^vKill|^D|^QStart/.test(text));
        expect(await gdb.ask(text)).toEqual(expect.any(String));
      }),
      { numRuns: 500 },
    );
  });
});

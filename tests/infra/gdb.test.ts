/** Stock GDB in front of Linux: the machine that `virga run tiny --gdb` starts, in this process. */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { packet } from "../../emulator/machine/gdb/packets.ts";
import { DiskRoom, withForgottenChanges } from "../../infra/headless/disks.ts";
import { GdbServer, readListening } from "../../infra/headless/gdb-server.ts";
import { startNodeMachine } from "../../infra/headless/node-machine.ts";
import { SerialDialogue } from "../../infra/headless/serial-dialogue.ts";
import { ImageStore } from "../../infra/store/image-store.ts";
import { GuestProgram } from "../support/guest-program.ts";
import { pausedMachine } from "../support/paused-machine.ts";

const store = new ImageStore();
const tiny = existsSync("build/wasm/cpu.wasm") ? store.latest("tiny") : null;
const hasGdb = ((): boolean => {
  try {
    execFileSync("gdb", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();
const missing = [...(hasGdb ? [] : ["gdb"]), ...(tiny ? [] : ["the built image tiny"])];

async function boot(startPaused: boolean) {
  const { definition } = tiny!;
  const room = new DiskRoom({ chunks: store.chunks, manifests: store.manifests });
  const disk = definition.disks[0]!;
  if (disk.kind !== "chunked") throw new Error("tiny has chunks");
  const entry = definition.boot[0]!;
  const kernel = await room.readWhole(entry.kernel);
  const dialogue = new SerialDialogue((bytes) => machine.sendSerial(bytes));
  const machine = await startNodeMachine({
    boot: entry,
    kernel,
    ...(entry.initrd && { initrd: await room.readWhole(entry.initrd) }),
    memoryMiB: definition.memoryMiB,
    disks: [await withForgottenChanges(await room.openChunked(disk.manifest))],
    onSerial: (bytes) => dialogue.hear(bytes),
    startPaused,
  });
  return { ...machine, dialogue, ready: definition.ready, kernel };
}

/** What GDB says after each of the commands; `monitor` answers on its standard error, which is last. */
async function gdb(port: number, commands: readonly string[]): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "virga-gdb-"));
  try {
    const script = join(folder, "script");
    const lines = commands.flatMap((command, i) => [`echo <${i}>\\n`, command]);
    writeFileSync(
      script,
      [
        "set pagination off",
        "set confirm off",
        `target remote 127.0.0.1:${port}`,
        ...lines,
        "echo <end>\\n",
      ].join("\n"),
    );
    const { stdout, stderr } = await promisify(execFile)("gdb", ["-batch", "-nx", "-x", script], {
      timeout: 100_000,
    });
    const parts = stdout.split(/<(?:\d+|end)>\n/).slice(1, commands.length + 1);
    if (parts.length < commands.length) throw new Error(`gdb: ${stdout}\n${stderr}`);
    return [...parts, stderr].map((text) => text.trim());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe.skipIf(missing.length > 0)(
  `stock GDB (needs gdb and tiny; absent: ${missing.join(", ") || "nothing"})`,
  () => {
    test("looks, changes, steps and stops in the kernel", { timeout: 120_000 }, async () => {
      // Where system calls enter the kernel: the same in every boot of this kernel, which is not moved.
      const first = await boot(false);
      await first.dialogue.prompt(first.ready);
      const entry = first.machine.cpu.view.getBigUint64(0x1000 + 0x2a0, true);
      first.powerOff();
      expect(entry >> 40n).toBe(0xffffffn);

      const { machine, done } = await boot(true);
      const server = await GdbServer.listen(machine, { host: "127.0.0.1", port: 0 });
      const at = (expression: string): string => `printf "%lx\\n", ${expression}`;
      const said = await gdb(server.port, [
        at("$rip"),
        "stepi",
        at("$rip"),
        "break *($rip + 7)",
        "continue",
        at("$rip"),
        "set $xmm3.v4_int32 = {1, 2, 3, 4}",
        "print $xmm3.v2_int64",
        "set $st0 = 1.5",
        "print $st0",
        "set $rbx = 0x1122334455667788",
        at("$rbx"),
        "set {int} 0x3000000 = 0x12345678",
        "monitor read 3000000 4",
        "delete",
        "watch -location *(long *) ($rsp - 8)",
        "continue",
        "delete",
        `hbreak *${entry}`,
        "continue",
        at("$rip"),
        at("$cs"),
        at("$cr0 & 0x80000000"),
        "x/1i $rip",
        "delete",
        "detach",
      ]);
      expect(said[0]).toBe("1000000");
      const stepped = Number.parseInt(said[2]!, 16);
      expect(stepped).toBeGreaterThan(0x1000000);
      expect(said[4]).toMatch(/Breakpoint 1, 0x0*10000/);
      expect(Number.parseInt(said[5]!, 16)).toBe(stepped + 7);
      expect(said[7]).toMatch(/\{8589934593, 17179869187\}/);
      expect(said[9]).toMatch(/= 1\.5$/);
      expect(said[11]).toBe("1122334455667788");
      expect(said.at(-1)).toContain("03000000: 78 56 34 12");
      expect(said[16]).toMatch(/Hardware watchpoint 2: [\s\S]*Old value = [\s\S]*New value = /);
      expect(said[19]).toMatch(/Breakpoint 3, 0xffffff/);
      expect(BigInt(`0x${said[20]}`)).toBe(entry);
      expect([said[21], said[22]]).toEqual(["10", "80000000"]);
      expect(said[23]).toMatch(/swapgs|endbr64/);
      expect(said[25]).toMatch(/detached/);
      machine.powerOff();
      expect(await done).toEqual({ reason: "power-off" });
    });
  },
);

const CORE = "build/wasm/cpu-plain.wasm";
describe.skipIf(!hasGdb || !existsSync(CORE))(`stock GDB and a 32-bit guest (needs gdb and ${CORE})`, () => {
  test(
    "is told of an i386: registers, memory, breakpoints, watchpoints, steps",
    { timeout: 120_000 },
    async () => {
      // mov eax, 1; push eax; pop ecx; then round and round: inc ebx; mov [1002000h], ebx.
      const program = new GuestProgram().raw(0xb8, 1, 0, 0, 0, 0x50, 0x59);
      program.raw(0x43, 0x89, 0x1d, 0x00, 0x20, 0x00, 0x01, 0xeb, 0xf7);
      const core = new WebAssembly.Module(readFileSync(CORE));
      const machine = await pausedMachine(core, { kernel: program.kernel32 }, "pentium3");
      const server = await GdbServer.listen(machine, { host: "127.0.0.1", port: 0 });
      const said = await gdb(server.port, [
        "show architecture",
        "stepi 2",
        'printf "%x %x %x\\n", $eip, $eax, $cs',
        "x/1xw $esp",
        "x/2i $eip",
        "break *0x1000008",
        "continue",
        'printf "%x %x\\n", $eip, $ebx',
        "set $ebx = 0x7ffffffe",
        "delete",
        "watch *(int *) 0x1002000",
        "continue",
        "stepi 2",
        'printf "%d\\n", $ebx',
        "set $st0 = 2.25",
        "print $st0",
        "set $xmm7.v4_int32 = {5, 6, 7, 8}",
        "print $xmm7.v4_int32",
        "set {int} 0x1003000 = 0x11223344",
        "x/1xw 0x1003000",
        "delete",
        "detach",
      ]);
      expect(said[0]).toMatch(/"i386"/);
      expect(said[2]).toBe("1000006 1 10");
      expect(said[3]).toMatch(/0x00000001$/);
      expect(said[4]).toMatch(/pop +%ecx[\s\S]*inc +%ebx/);
      expect(said[6]).toMatch(/Breakpoint 1, 0x0*1000008/);
      expect(said[7]).toBe("1000008 1");
      expect(said[11]).toMatch(/Old value = 0\s+New value = 2147483646/);
      // Behind the jump and the next INC.
      expect(said[13]).toBe("2147483647");
      expect([said[15], said[17], said[19]]).toEqual([
        expect.stringMatching(/= 2\.25$/),
        expect.stringMatching(/= \{5, 6, 7, 8\}$/),
        expect.stringMatching(/0x11223344$/),
      ]);
      expect(said[21]).toMatch(/detached/);
      machine.powerOff();
      expect(await machine.done).toEqual({ reason: "power-off" });
    },
  );
});

describe("--gdb", () => {
  test.each([
    [":1234", { host: "127.0.0.1", port: 1234 }],
    ["1234", { host: "127.0.0.1", port: 1234 }],
    ["0.0.0.0:99", { host: "0.0.0.0", port: 99 }],
    ["[::1]:99", { host: "::1", port: 99 }],
    ["here", undefined],
    [":99999", undefined],
    ["", undefined],
  ])("%j listens at %j", (text, expected) => {
    expect(readListening(text)).toEqual(expected);
  });
});

describe.skipIf(missing.length > 0)("virga run tiny --gdb", () => {
  test("waits for GDB, which ends it", { timeout: 60_000 }, async () => {
    const cli = join(import.meta.dirname, "../../infra/cli/virga.ts");
    const child = execFile(process.execPath, [cli, "run", "tiny", "--gdb", "127.0.0.1:0"]);
    const said = new Promise<string>((resolve) => {
      let all = "";
      child.stderr?.on("data", (piece: string) => {
        all += piece;
        if (/remote \S+:\d+\s/.test(all)) resolve(all);
      });
    });
    const ended = new Promise((resolve) => child.on("exit", resolve));
    const port = Number(/remote \S+:(\d+)/.exec(await said)![1]);
    const [rip] = await gdb(port, ['printf "%lx\\n", $rip', "kill"]);
    expect([rip, await ended]).toEqual(["1000000", 0]);
  });
});

describe.skipIf(!tiny)("a connection that is not GDB's (needs the built image tiny)", () => {
  test("is refused while GDB is there, and ended when it does not read", { timeout: 60_000 }, async () => {
    const { machine } = await boot(true);
    const server = await GdbServer.listen(machine, { host: "127.0.0.1", port: 0 });
    const dial = (): Promise<Socket> =>
      new Promise((resolve) => {
        const socket = connect(server.port, "127.0.0.1", () => resolve(socket));
        socket.on("error", () => {});
      });
    const first = await dial();
    const second = await dial();
    await new Promise((resolve) => second.once("close", resolve));
    // It never reads; each of these asks for 16 KiB.
    const closed = new Promise((resolve) => first.once("close", resolve));
    first.pause();
    const ask = packet("m1000000,2000");
    for (let i = 0; i < 5000 && !first.destroyed; i++) {
      first.write(ask);
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    first.resume();
    await closed;
    const third = await dial();
    const reply = new Promise((resolve) => third.once("data", (bytes) => resolve(String(bytes))));
    third.write(packet("qC"));
    expect(await reply).toMatch(/^\+/);
    third.destroy();
    machine.powerOff();
    await machine.done;
  });
});

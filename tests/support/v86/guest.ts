/** A real v86 in Node with a guest of our own behind its own network adapter. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { V86 } from "v86";
import { DRIVER, startupRom } from "../../bench/cpu/v86-peer.ts";

const folder = join(import.meta.dirname, "../../../build/v86-guest");
/** Where guest.c looks for the server: four bytes of address, two of port. */
const SERVER = 0x9000;

/** guest.c as it lies in memory, compiled with the gcc that is there; the reason why it cannot be had otherwise. */
export function compileGuest(): { readonly program: Uint8Array } | { readonly absent: string } {
  const program = join(folder, "guest.bin");
  const language = ["-m32", "-march=i586", "-O1", "-ffreestanding", "-fno-pic", "-fno-stack-protector"];
  const plain = ["-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns", "-Wall", "-Werror"];
  const layout = [`-Wl,-Ttext=0x${DRIVER.toString(16)}`, "-Wl,-e,start", "-Wl,--build-id=none"];
  const link = ["-nostdlib", "-static", "-no-pie", ...layout, "-Wl,--oformat,binary"];
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync("gcc", ["--version"], { stdio: "ignore" });
  } catch {
    return { absent: "gcc is absent" };
  }
  const source = join(import.meta.dirname, "guest.c");
  execFileSync("gcc", [...language, ...plain, ...link, "-o", program, source]);
  return { program: readFileSync(program) };
}

export interface ForeignGuest {
  /** The next line that the guest says on its serial port. */
  line(): Promise<string>;
  stop(): Promise<void>;
}

/** v86's adapter for Wisp throws away what is sent before the server's first CONTINUE, and a guest does not send it again. */
async function greeted(emulator: V86): Promise<void> {
  const { network_adapter: adapter } = emulator as unknown as {
    network_adapter: { connections?: Record<number, { congestion: number }> };
  };
  while (adapter.connections?.[0]?.congestion === 0) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** `relayUrl`: what v86 calls `network_relay_url`. The guest asks `server` for a file by HTTP. */
export async function startForeignGuest(
  program: Uint8Array,
  relayUrl: string,
  server: { readonly address: readonly [number, number, number, number]; readonly port: number },
): Promise<ForeignGuest> {
  const emulator = new V86({
    wasm_path: join(dirname(createRequire(import.meta.url).resolve("v86")), "v86.wasm"),
    memory_size: 16 << 20,
    vga_memory_size: 1 << 20,
    bios: { buffer: startupRom().buffer as ArrayBuffer },
    autostart: false,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    net_device: { type: "ne2k", relay_url: relayUrl },
  });
  const lines: string[] = [];
  let [text, wake] = ["", () => {}];
  emulator.add_listener("serial0-output-byte", (byte: number) => {
    if (byte !== 10) return void (text += String.fromCharCode(byte));
    lines.push(text);
    text = "";
    return wake();
  });
  await new Promise<void>((resolve) => emulator.add_listener("emulator-loaded", () => resolve()));
  emulator.write_memory(program, DRIVER);
  emulator.write_memory(Uint8Array.of(...server.address, server.port >> 8, server.port & 255), SERVER);
  await greeted(emulator);
  void emulator.run();
  return {
    async line() {
      while (lines.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return lines.shift()!;
    },
    stop: () => emulator.destroy(),
  };
}

/**
 * Builds the CPU core: instruction table → build/generated/cpu, AssemblyScript → build/wasm/cpu.wasm (shared memory) and
 * cpu-plain.wasm. VIRGA_CPU_O=1 builds both quickly without optimisation; VIRGA_CPU_OUT names another folder for the wasm.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const out = process.env["VIRGA_CPU_OUT"] ?? join(root, "build/wasm");
const level = process.env["VIRGA_CPU_O"] ?? "3";
const node = process.execPath;

execFileSync(node, [join(root, "emulator/cpu/generate.ts")], { stdio: "inherit", cwd: root });
mkdirSync(out, { recursive: true });

const common = [
  join(root, "node_modules/assemblyscript/bin/asc.js"),
  "emulator/cpu/assembly/index.ts",
  `-O${level}`,
  "--noAssert",
  "--runtime",
  "stub",
  "--importMemory",
  "--enable",
  "simd",
  "--memoryBase",
  "65536",
  "--initialMemory",
  "1280",
  "--maximumMemory",
  "65536",
  "--disableWarning",
  "235",
];
// A shared memory is imported as such, so that there are two modules from one source.
for (const [name, options] of [
  ["cpu", ["--enable", "threads", "--sharedMemory"]],
  ["cpu-plain", []],
] as const) {
  execFileSync(node, [...common, ...options, "-o", join(out, `${name}.wasm`)], {
    stdio: "inherit",
    cwd: root,
  });
}

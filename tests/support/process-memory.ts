import { readFileSync, readdirSync } from "node:fs";

interface Process {
  readonly parent: number;
  readonly name: string;
  /** Resident and no file's: what a program's own pages hold is not its data. */
  readonly ownBytes: number;
}

/** From /proc (proc(5)); undefined: it has ended, or this is not Linux. */
function processOf(pid: number): Process | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/status`, "utf8");
    const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(text)?.[1] ?? "";
    return {
      parent: Number(field("PPid")),
      name: field("Name"),
      ownBytes: Number(field("RssAnon")) * 1024,
    };
  } catch {
    return undefined;
  }
}

/** What the processes of this name that descend from `ancestor` hold in memory, files apart. NaN where there is no /proc. */
export function memoryOfChildren(name: string, ancestor = process.pid): number {
  if (processOf(process.pid) === undefined) return NaN;
  const all = new Map<number, Process>();
  for (const entry of readdirSync("/proc")) {
    const known = /^\d+$/.test(entry) ? processOf(Number(entry)) : undefined;
    if (known) all.set(Number(entry), known);
  }
  const isOurs = (pid: number): boolean => pid === ancestor || (all.has(pid) && isOurs(all.get(pid)!.parent));
  let bytes = 0;
  for (const [pid, known] of all) if (known.name === name && isOurs(pid)) bytes += known.ownBytes;
  return bytes;
}

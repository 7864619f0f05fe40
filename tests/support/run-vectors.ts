/** node tests/support/run-vectors.ts [-v] m64-base m64-sse2 … : replays vector sets and prints what differs. --real runs 16-bit sets in real mode. "-v" prints all. */
import { readVectors, VectorMachine } from "./cpu-vectors.ts";

const verbose = process.argv.includes("-v");
const sets = process.argv.slice(2).filter((name) => !name.startsWith("-"));
const machine = new VectorMachine(process.argv.includes("--real") ? "real" : "long");
for (const set of sets) {
  const [name, only] = set.split(":");
  let passed = 0,
    total = 0,
    shown = 0;
  const failures = new Map<string, number>();
  for (const vector of readVectors(name!)) {
    if (only !== undefined && !vector.id.endsWith(`/${only}`)) continue;
    total++;
    let differences: string[];
    try {
      differences = machine.replay(vector);
    } catch (error) {
      differences = [String(error)];
    }
    if (differences.length === 0) {
      passed++;
      continue;
    }
    failures.set(vector.n, (failures.get(vector.n) ?? 0) + 1);
    if (verbose || shown++ < 5)
      console.log(
        `  ${vector.id} ${vector.n} w=${vector.w ?? "-"} [${vector.c}] ${differences.slice(0, 4).join("; ")}`,
      );
  }
  const worst = [...failures]
    .sort((a, b) => b[1] - a[1])
    .slice(0, 10)
    .map(([n, count]) => `${n} ${count}`)
    .join(", ");
  console.log(`${name}: ${passed}/${total}${worst ? ` | ${worst}` : ""}`);
}

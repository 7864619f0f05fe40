/** A set of ports, written `none`, `all`, or `80,443,8000-8999`. */
export type PortSet = readonly (readonly [first: number, last: number])[];
export const allPorts: PortSet = [[1, 65_535]];
const MAX_PARTS = 64;

/** Null: not a set of ports. */
export function parsePorts(text: string): PortSet | null {
  const trimmed = text.trim();
  if (trimmed === "none") return [];
  if (trimmed === "all") return allPorts;
  const parts = trimmed.split(",");
  if (parts.length > MAX_PARTS) return null;
  const ranges: [number, number][] = [];
  for (const part of parts) {
    const match = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part);
    if (!match) return null;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (first < 1 || last > 65_535 || last < first) return null;
    ranges.push([first, last]);
  }
  return ranges;
}

export const hasPort = (ports: PortSet, port: number): boolean =>
  ports.some(([first, last]) => port >= first && port <= last);

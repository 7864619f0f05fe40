/** Objects are spread over so many registers by their names. */
const SHARDS = 4;
export const registerNames: readonly string[] = Array.from(
  { length: SHARDS },
  (_, shard) => `register-${shard}`,
);

/** FNV-1a of 32 bits: which register an object speaks to. Names are hexadecimal, so a character is a byte. */
export function registerOf(kind: string, name: string): string {
  let hash = 0x811c9dc5;
  for (const character of `${kind} ${name}`)
    hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193) >>> 0;
  return registerNames[hash % SHARDS]!;
}

// Random numbers from a seed.

/** Returns a function like `Math.random` with the same numbers for the same seed (FNV-1a, mulberry32). */
export function seededRandom(seed) {
  let state = 0x811c9dc5;
  for (const byte of Buffer.from(String(seed))) state = Math.imul(state ^ byte, 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
